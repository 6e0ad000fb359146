"""A model's weights on this machine: fetched from where they are pinned, or the caller's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs

from bytemlperf.artifact import Provenance, digest_of
from bytemlperf.conversion.definition import check_config
from bytemlperf.conversion.weight_files import weight_files, weights_digest, weights_in
from bytemlperf.errors import BenchmarkError, SpecError, WeightsUnavailableError, nearest
from bytemlperf.fetch import (
    CACHE_VARIABLE,
    MIRROR_VARIABLE,
    cache_dir,
    file_name,
    files_of,
    is_archive,
    is_index,
    split_pin,
)
from bytemlperf.registry import load
from bytemlperf.spec import Format, Source, SourceKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.fetch import Fetched, Transfer
    from bytemlperf.spec import ModelSpec, Recipe

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


def pinned_weights(spec: ModelSpec, *, cache: Path | None, transfer: Transfer | None = None) -> Obtained:
    """Fetch a model's weights from the first of its sources that gives them.

    Raises:
        WeightsUnavailableError: If none does; lists the ways out.
        ChecksumError: If a source gives another file than the pinned one.
        SpecError: If a source is malformed, or of no use for the model.
    """
    refusals = []
    for source in spec.sources:
        try:
            found = _fetched(spec, files_of(source, cache=cache, transfer=transfer), cache)
            return attrs.evolve(found, provenance=Provenance.PRETRAINED)
        except WeightsUnavailableError as error:
            refusals.append(f"{source.kind} {source.location}: {error}")
    raise WeightsUnavailableError(
        f"the weights of {spec.name} cannot be had: {' | '.join(refusals) or 'its spec names no source'}",
        remedy=_ways_out(spec),
    )


def url_weights(spec: ModelSpec, url: str, *, cache: Path | None, transfer: Transfer | None = None) -> Obtained:
    """Fetch the caller's own weights from a URL: a file, or an archive with one model in it.

    Args:
        spec: The model.
        url: `https://host/model.safetensors#sha256=...`; an archive, and plain `http:`, must be pinned so.
        cache: Cache folder; see `cache_dir`.
        transfer: How they are transferred.

    Raises:
        SpecError: If the URL is of a kind that is not fetched, or gives nothing of use for the model.
        WeightsUnavailableError: If it cannot be fetched; lists the ways out.
        ChecksumError: If something else than the pinned comes.
        ArtifactError: If it is an archive that cannot be unpacked safely.
    """
    bare, pin = split_pin(url)
    name = file_name(bare)
    kind = SourceKind.ARCHIVE if is_archive(name) else SourceKind.URL
    source = Source(kind=kind, location=bare, sha256={} if pin is None else {name: pin})
    try:
        fetched = files_of(source, cache=cache, transfer=transfer)
    except WeightsUnavailableError as error:
        raise WeightsUnavailableError(
            f"the weights of {spec.name} cannot be had: {error}", remedy=_ways_out(spec)
        ) from error
    return _fetched(spec, fetched, cache)


def local_weights(spec: ModelSpec, path: Path, *, cache: Path | None = None) -> Obtained:
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
    given = path.absolute()
    found = (weights_in(given) if given.is_dir() and spec.recipe is not None else None) or given
    form = _format_of(spec, found)
    if form is None:
        raise SpecError(f"this is no file from which {spec.name} can be made", got=given.name, expected=_expected(spec))
    sha256 = _digest(found, form, cache)
    return Obtained(path=found, format=form, sha256=sha256, provenance=Provenance.LOCAL, origin=given.name)


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


def built(recipe: Recipe) -> Any:  # noqa: ANN401 - a torch.nn.Module, and this room imports no torch
    """Build the module of a torch recipe; its weights are whatever torch puts there.

    Raises:
        BackendUnavailableError: If the architecture cannot be imported.
        SpecError: If it does not take the configuration.
    """
    build = load(recipe.architecture, what="the architecture")
    check_config(build, recipe)
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


def _fetched(spec: ModelSpec, fetched: Fetched, cache: Path | None) -> Obtained:
    """Pick the model out of a source's files."""
    places = {path.parent if path.name == "saved_model.pb" else path for path in fetched.files.values()}
    indices = [path for path in places if is_index(path.name)]
    places -= {shard for index in indices for shard in weight_files(index)}
    found = {place: form for place in places if (form := _format_of(spec, place)) is not None}
    if len(found) != 1:
        raise SpecError(
            f"a source of {spec.name} has {len(found)} files from which it can be made, where one is needed",
            got=sorted(fetched.files),
            expected=_expected(spec),
        )
    path, form = found.popitem()
    sha256 = _digest(path, form, cache)
    return Obtained(path=path, format=form, sha256=sha256, provenance=Provenance.LOCAL, origin=fetched.origin)


def _format_of(spec: ModelSpec, path: Path) -> Format | None:
    """Return what a file or folder is, where the model can be made from that."""
    if path.is_dir():
        found = Format.SAVED_MODEL if (path / "saved_model.pb").is_file() else None
    elif is_index(path.name):
        found = Format.TORCH
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


def _digest(path: Path, form: Format, cache: Path | None) -> str:
    if form is Format.TORCH:
        return weights_digest(path, cache=cache_dir(cache))
    if form is not Format.ONNX:
        return digest_of(path)
    from bytemlperf.conversion.onnx_file import digest_with_data

    return digest_with_data(path)


def _ways_out(spec: ModelSpec) -> str:
    ways = [f"weights=PATH of your own copy ({_expected(spec)})"]
    ways.append('weights="https://...#sha256=..." of a file or an archive that you trust')
    if torch_recipe(spec) is not None:
        ways.insert(0, 'weights="random" (seeded; speed and numerics can be measured, accuracy cannot)')
    if spec.sources:
        ways.append(
            "fetch once where there is a network and bring the cache along "
            f"({CACHE_VARIABLE}; HF_HOME for the hub), or set HF_ENDPOINT to a mirror of the hub "
            f"or {MIRROR_VARIABLE} to one of other URLs"
        )
    return f"ways out: {'; or '.join(ways)}; on the command line --weights stands for weights="
