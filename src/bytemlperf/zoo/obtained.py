"""A model's weights on this machine: made from a seed, fetched from where they are pinned, or the caller's own."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from bytemlperf.artifact import Provenance, digest_of
from bytemlperf.errors import BenchmarkError, SpecError, WeightsUnavailableError, nearest
from bytemlperf.fetch import CACHE_VARIABLE, cache_dir, files_of, kept
from bytemlperf.registry import load
from bytemlperf.spec import Format, digest, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.fetch import Fetched
    from bytemlperf.spec import ModelSpec, Recipe

_INITIALISE: Final = "bytemlperf.zoo.architectures.initialise_torch:initialise"

_FORMATS: Final[Mapping[str, Format]] = {
    ".safetensors": Format.TORCH,
    ".pt": Format.TORCH,
    ".pth": Format.TORCH,
    ".bin": Format.TORCH,
    ".onnx": Format.ONNX,
    ".mlir": Format.STABLEHLO,
    ".stablehlo": Format.STABLEHLO,
}
"""What a file is by its suffix; `torch` stands for named weights, whichever way they are written."""

_TORCHSCRIPT_SUFFIXES: Final = (".pt", ".pth")


@attrs.frozen(kw_only=True)
class Obtained:
    """The file or folder that a model's weights come in.

    Attributes:
        path: Where it is.
        format: What it is; `torch` stands for a file of named weights, whichever way they are written.
        sha256: Its digest.
        provenance: Where the weights come from.
        origin: Where exactly, without a path of this machine.
    """

    path: Path
    format: Format
    sha256: str
    provenance: Provenance
    origin: str


def random_weights(spec: ModelSpec, *, seed: int, cache: Path | None) -> Obtained:
    """Make a model's weights from a seed, or find those that were made before.

    The same seed gives the same file, byte by byte, with the same version of torch.

    Raises:
        SpecError: If the model has no torch architecture, or one with unknown layers.
        BackendUnavailableError: If its architecture cannot be imported.
    """
    recipe = torch_recipe(spec)
    if recipe is None:
        raise SpecError(
            f"random weights of {spec.name} cannot be made: its spec has no recipe", remedy="give weights=PATH"
        )
    if recipe != spec.recipe and source_digest(recipe.architecture) is None:
        raise SpecError(
            f"random weights of {spec.name} cannot be made: its TensorFlow architecture has no torch twin beside it",
            where=recipe.architecture,
            remedy="give weights=PATH, or write the twin, which decides the names and shapes of the weights",
        )
    key = digest(
        {
            "definition": definition(recipe),
            "initialisation": source_digest(_INITIALISE),
            "seed": seed,
            "precision": spec.precision,
            "torch": version("torch"),
        }
    )
    entry = kept(
        cache_dir(cache) / "random" / key,
        "model.safetensors",
        lambda path: _write_random(spec, recipe, seed, path),
    )
    return Obtained(
        path=entry.path,
        format=Format.TORCH,
        sha256=entry.sha256,
        provenance=Provenance.RANDOM,
        origin=f"random(seed={seed})",
    )


def pinned_weights(spec: ModelSpec, *, cache: Path | None) -> Obtained:
    """Fetch a model's weights from the first of its sources that gives them.

    Raises:
        WeightsUnavailableError: If none does; lists the ways out.
        ChecksumError: If a source gives another file than the pinned one.
        SpecError: If a source is malformed, or of no use for the model.
    """
    refusals = []
    for source in spec.sources:
        try:
            return _fetched(spec, files_of(source, cache=cache))
        except WeightsUnavailableError as error:
            refusals.append(f"{source.kind} {source.location}: {error}")
    raise WeightsUnavailableError(
        f"the weights of {spec.name} cannot be had: {' | '.join(refusals) or 'its spec names no source'}",
        remedy=_ways_out(spec),
    )


def local_weights(spec: ModelSpec, path: Path) -> Obtained:
    """Take a file or folder of the caller for a model's weights.

    Raises:
        SpecError: If it is not there, or of no use for the model.
    """
    if not path.exists():
        guess = nearest(str(path), ("pinned", "random"))
        raise SpecError(
            "weights are neither 'pinned' nor 'random' nor a path at which something is",
            got=str(path),
            remedy=f"did you mean {guess[0]!r}?" if guess else None,
        )
    found = path.absolute()
    form = _format_of(spec, found)
    if form is None:
        raise SpecError(f"this is no file from which {spec.name} can be made", got=found.name, expected=_expected(spec))
    return Obtained(
        path=found, format=form, sha256=_digest(found, form), provenance=Provenance.LOCAL, origin=found.name
    )


def torch_recipe(spec: ModelSpec) -> Recipe | None:
    """Return the recipe of the torch module whose weights a model has.

    A TensorFlow architecture `..._tf:build` is given the weights of its torch twin, which lies
    beside it as `..._torch:build` and takes the same configuration.
    """
    if spec.recipe is None or not is_tensorflow(spec.recipe):
        return spec.recipe
    module, _, function = spec.recipe.architecture.partition(":")
    return attrs.evolve(spec.recipe, architecture=f"{module.removesuffix('_tf')}_torch:{function}")


def is_tensorflow(recipe: Recipe) -> bool:
    """Tell whether a recipe is one of TensorFlow, whose function takes the weights before the configuration."""
    return recipe.architecture.partition(":")[0].endswith("_tf")


def definition(recipe: Recipe) -> Mapping[str, object]:
    """Return what decides the module of a recipe: the recipe itself, and the file that defines it.

    An architecture under way changes without a new version; what was made of it before is then not used.
    """
    return {"recipe": to_json(recipe), "source": source_digest(recipe.architecture)}


def source_digest(reference: str) -> str | None:
    """Return the digest of the file that defines `package.module:object`; None where there is none. Loads nothing."""
    try:
        found = find_spec(reference.partition(":")[0])
    except (ImportError, ValueError):
        return None
    return digest_of(Path(found.origin)) if found is not None and found.has_location and found.origin else None


def built(recipe: Recipe) -> Any:  # noqa: ANN401 - a torch.nn.Module, and this room imports no torch
    """Build the module of a torch recipe; its weights are whatever torch puts there.

    Raises:
        BackendUnavailableError: If the architecture cannot be imported.
        SpecError: If it does not take the configuration.
    """
    build = load(recipe.architecture, what="the architecture")
    try:
        return build(**recipe.config)
    except BenchmarkError:
        raise
    except Exception as error:  # an architecture may come from anyone
        raise SpecError(
            "an architecture cannot be built",
            where=recipe.architecture,
            got=f"{type(error).__name__}: {error}",
            remedy=f"its configuration is {dict(recipe.config)}",
        ) from error


def _write_random(spec: ModelSpec, recipe: Recipe, seed: int, path: Path) -> None:
    from bytemlperf.conversion.torch_state import write_state

    module = built(recipe)
    try:
        load(_INITIALISE, what="the initialisation")(module, seed)
    except TypeError as error:
        raise SpecError(
            f"random weights of {spec.name} cannot be made",
            where=recipe.architecture,
            got=str(error),
            remedy="give its module a method draws() that says how its weights are drawn, by name",
        ) from error
    write_state(module, path, precision=spec.precision)


def _fetched(spec: ModelSpec, fetched: Fetched) -> Obtained:
    """Pick the model out of a source's files."""
    places = {path.parent if path.name == "saved_model.pb" else path for path in fetched.files.values()}
    found = {place: form for place in places if (form := _format_of(spec, place)) is not None}
    if len(found) != 1:
        raise SpecError(
            f"a source of {spec.name} has {len(found)} files from which it can be made, where one is needed",
            got=sorted(fetched.files),
            expected=_expected(spec),
        )
    path, form = found.popitem()
    return Obtained(
        path=path,
        format=form,
        sha256=_digest(path, form),
        provenance=Provenance.PRETRAINED,
        origin=fetched.origin,
    )


def _format_of(spec: ModelSpec, path: Path) -> Format | None:
    """Return what a file or folder is, where the model can be made from that."""
    if path.is_dir():
        found = Format.SAVED_MODEL if (path / "saved_model.pb").is_file() else None
    elif spec.format is Format.TORCHSCRIPT and path.suffix in _TORCHSCRIPT_SUFFIXES:
        found = Format.TORCHSCRIPT
    else:
        found = _FORMATS.get(path.suffix)
    return found if found in _usable(spec) else None


def _usable(spec: ModelSpec) -> set[Format]:
    from_weights = {Format.TORCH} if spec.recipe is not None else set()
    return from_weights | ({spec.format} - {Format.TORCH})


def _expected(spec: ModelSpec) -> str:
    usable = _usable(spec)
    suffixes = [suffix for suffix, form in _FORMATS.items() if form in usable]
    folders = ["a SavedModel folder"] if Format.SAVED_MODEL in usable else []
    scripts = list(_TORCHSCRIPT_SUFFIXES) if Format.TORCHSCRIPT in usable else []
    return ", ".join(dict.fromkeys([*suffixes, *scripts, *folders])) or "a spec with a recipe"


def _digest(path: Path, form: Format) -> str:
    if form is not Format.ONNX:
        return digest_of(path)
    from bytemlperf.conversion.onnx_file import digest_with_data

    return digest_with_data(path)


def _ways_out(spec: ModelSpec) -> str:
    ways = [f"weights=PATH of your own copy ({_expected(spec)})"]
    if torch_recipe(spec) is not None:
        ways.insert(0, 'weights="random" (seeded; speed and numerics can be measured, accuracy cannot)')
    if spec.sources:
        ways.append(
            "fetch once where there is a network and bring the cache along "
            f"({CACHE_VARIABLE}; HF_HOME for the hub), or set HF_ENDPOINT to a mirror of the hub"
        )
    return "ways out: " + "; or ".join(ways)
