"""Weights made from a seed, written file after file, so that a model of any size needs little memory."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bytemlperf.artifact import Provenance
from bytemlperf.conversion.definition import definition, source_digest
from bytemlperf.conversion.weight_files import INDEX, SHARD_BYTES, SINGLE
from bytemlperf.errors import SpecError
from bytemlperf.fetch import Transfer, cache_dir, kept
from bytemlperf.registry import load
from bytemlperf.spec import Format, digest
from bytemlperf.zoo.obtained import Obtained, built, torch_recipe

if TYPE_CHECKING:
    from bytemlperf.spec import ModelSpec, Recipe

_DRAWING: Final = "bytemlperf.zoo.architectures.initialise_torch:drawn_weights"


def random_weights(
    spec: ModelSpec,
    *,
    seed: int,
    cache: Path | None = None,
    transfer: Transfer | None = None,
    shard_bytes: int = SHARD_BYTES,
) -> Obtained:
    """Make a model's weights from a seed, or find those that were made before.

    The same seed gives the same files, byte by byte, with the same version of torch. Weights of more
    than 1 GiB are drawn and written in shards of about that size, straight in the spec's precision.

    Args:
        spec: The model.
        seed: Of all weights.
        cache: Cache folder; see `cache_dir`.
        transfer: Tells the free space.
        shard_bytes: Size beyond which, and in which, weights that are made now are written to several files.

    Raises:
        SpecError: If the model has no torch architecture, or one with unknown layers.
        BackendUnavailableError: If its architecture cannot be imported.
        WeightsUnavailableError: If the disk has no room for them.
    """
    recipe = _recipe(spec)
    folder = cache_dir(cache) / "random" / _key(spec, recipe, seed)
    # Whoever asks for weights that are there needs no torch: which of the two names they have, the folder tells.
    name = next((each for each in (INDEX, SINGLE) if (folder / each).is_file()), None) or _name(
        spec, recipe, shard_bytes
    )

    def make(path: Path) -> None:
        _write(spec, recipe, seed, path, transfer=transfer or Transfer(), shard_bytes=shard_bytes)

    about = {
        "model": spec.name,
        "seed": str(seed),
        "precision": str(spec.precision),
        "definition": recipe.version,
        "torch": version("torch"),
    }
    entry = kept(folder, name, make, about=about)
    return Obtained(
        path=entry.path,
        format=Format.TORCH,
        sha256=entry.sha256,
        provenance=Provenance.RANDOM,
        origin=f"random(seed={seed})",
    )


def random_weights_are_there(spec: ModelSpec, *, seed: int, cache: Path | None = None) -> bool:
    """Tell whether these weights were made before; loads nothing and reads none of them."""
    recipe = torch_recipe(spec)
    if recipe is None:
        return False
    folder = cache_dir(cache) / "random" / _key(spec, recipe, seed)
    return any((folder / name).is_file() for name in (INDEX, SINGLE))


def _recipe(spec: ModelSpec) -> Recipe:
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
    return recipe


def _key(spec: ModelSpec, recipe: Recipe, seed: int) -> str:
    return digest(
        {
            "definition": definition(recipe),
            "initialisation": source_digest(_DRAWING),
            "seed": seed,
            "precision": spec.precision,
            "torch": version("torch"),
        }
    )


def _name(spec: ModelSpec, recipe: Recipe, shard_bytes: int) -> str:
    from bytemlperf.conversion.torch_building import undrawn
    from bytemlperf.conversion.torch_state import written_bytes

    sizes = written_bytes(undrawn(lambda: built(recipe)), spec.precision)
    return INDEX if sum(sizes.values()) > shard_bytes else SINGLE


def _write(spec: ModelSpec, recipe: Recipe, seed: int, path: Path, *, transfer: Transfer, shard_bytes: int) -> None:
    from bytemlperf.conversion.torch_building import undrawn
    from bytemlperf.conversion.torch_state import write_drawn, written_bytes

    module = undrawn(lambda: built(recipe))
    sizes = written_bytes(module, spec.precision)
    transfer.check_room(path.parent, sum(sizes.values()), f"the random weights of {spec.name}")
    try:
        weights = load(_DRAWING, what="the initialisation")(module, seed)
        write_drawn(weights, sizes, path, precision=spec.precision, shard_bytes=shard_bytes)
    except TypeError as error:
        raise SpecError(
            f"random weights of {spec.name} cannot be made",
            where=recipe.architecture,
            got=str(error),
            remedy="give its module a method draws() that says how its weights are drawn, by name",
        ) from error
