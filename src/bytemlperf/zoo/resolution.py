"""From a spec to an artifact: obtain the weights, see that they fit, bring them into the spec's format."""

from __future__ import annotations

import os
import threading
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion.definition import check_config, definition, source_digest
from bytemlperf.conversion.weight_files import INDEX, SINGLE, read_arrays
from bytemlperf.errors import ArtifactError, BenchmarkError, SpecError
from bytemlperf.fetch import cache_dir, is_index, kept
from bytemlperf.registry import load
from bytemlperf.spec import Format, ModelSpec, digest
from bytemlperf.zoo.catalog import get
from bytemlperf.zoo.fitting import check_signature, check_weights
from bytemlperf.zoo.obtained import (
    is_tensorflow,
    local_weights,
    pinned_weights,
    torch_recipe,
    url_weights,
)
from bytemlperf.zoo.random_weights import random_weights

if TYPE_CHECKING:
    from bytemlperf.fetch import Transfer
    from bytemlperf.spec import Recipe
    from bytemlperf.zoo.obtained import Obtained

_URLS: Final = ("https://", "http://", "file://")

_CONVERTING: Final = threading.Lock()
"""torch's exporter keeps state of the whole process while it works: two at a time break each other."""


def resolve(
    spec: ModelSpec | str,
    *,
    weights: str | os.PathLike[str] = "pinned",
    seed: int = 0,
    cache: Path | None = None,
    transfer: Transfer | None = None,
) -> ModelArtifact:
    """Turn a model's spec into an artifact in the spec's format, ready to be compiled.

    What is fetched or made lies in the cache, each entry with its digest, which is verified
    whenever it is read. The names and shapes of weights are compared with the recipe's, and inputs
    and outputs of a model's file with the spec's.

    Args:
        spec: A spec, of the catalog or anyone's own, or the task name of an installed one.
        weights: `pinned` fetches what the spec's sources name, the first that gives it; `random`
            makes seeded ones; a path is the caller's own: a `.safetensors` file or a state dict
            written by torch (nothing in it is executed), the index of several such or their folder,
            or a file or folder in the spec's format; a URL, `https://...#sha256=...`, is that of
            such a file, or of an archive with one.
        seed: Of random weights.
        cache: Cache folder; None for that of BYTEMLPERF_CACHE, else `~/.cache/bytemlperf`.
        transfer: How files are fetched: mirrors, patience, who hears of progress.

    Returns:
        The artifact, which says where its weights come from: of the hub, with the commit that came.
        The path of weights in several files is that of their index.

    Raises:
        UnknownNameError: If no installed model has the name.
        SpecError: If weights of this kind cannot be had for this spec, or nothing is at the path.
        WeightsUnavailableError: If nothing can be fetched; lists the ways out.
        ChecksumError: If what was fetched is not what was pinned.
        ArtifactError: If a file cannot be read or does not fit the model.
        ConversionError: If the model cannot be brought into the spec's format.

    Example:
        ::

            artifact = zoo.resolve("resnet50-torch-fp32", weights="random", seed=7)
            print(artifact.provenance, artifact.origin, artifact.sha256)
    """
    model = get(spec) if isinstance(spec, str) else spec
    if weights == "random":
        obtained = random_weights(model, seed=_checked(seed), cache=cache, transfer=transfer)
    elif weights == "pinned":
        obtained = pinned_weights(model, cache=cache, transfer=transfer)
    elif isinstance(weights, str) and weights.startswith(_URLS):
        obtained = url_weights(model, weights, cache=cache, transfer=transfer)
    else:
        obtained = local_weights(model, _path(weights), cache=cache)
    return _from_weights(model, obtained, cache) if obtained.format is Format.TORCH else _as_it_is(model, obtained)


def _checked(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise SpecError("the seed cannot be used", got=seed, expected="a whole number from 0 to 2**63 - 1")
    return seed


def _path(weights: str | os.PathLike[str]) -> Path:
    if str(weights).startswith("sha256:"):
        raise SpecError(
            "weights that a digest names are given beside it as an artifact, and are not to be resolved", got=weights
        )
    return Path(weights).expanduser()


def _as_it_is(spec: ModelSpec, obtained: Obtained) -> ModelArtifact:
    """Hand over a file that has the spec's format already."""
    check_signature(spec, obtained.path, obtained.format)
    return _artifact(spec, obtained)


def _from_weights(spec: ModelSpec, obtained: Obtained, cache: Path | None) -> ModelArtifact:
    """Make the model of named weights."""
    artifact = _artifact(spec, obtained)
    if not obtained.path.name.endswith((".safetensors", ".safetensors.index.json")):
        artifact = _as_safetensors(artifact, cache)
    recipe = torch_recipe(spec)
    if recipe is not None and (recipe == spec.recipe or source_digest(recipe.architecture)):
        check_weights(recipe, artifact, cache)
    assert spec.recipe is not None  # else weights were of no use
    if is_tensorflow(spec.recipe):
        return _as_saved_model(artifact, spec.recipe, cache)
    if spec.format is Format.TORCH:
        return artifact
    from bytemlperf.conversion import convert

    with _CONVERTING:
        return convert(artifact, frozenset({spec.format}), folder=cache_dir(cache) / "converted")


def _artifact(spec: ModelSpec, obtained: Obtained) -> ModelArtifact:
    return ModelArtifact(
        spec=spec,
        format=obtained.format,
        path=obtained.path,
        sha256=obtained.sha256,
        provenance=obtained.provenance,
        origin=obtained.origin,
    )


def _as_safetensors(artifact: ModelArtifact, cache: Path | None) -> ModelArtifact:
    """Bring a state dict that torch wrote into the one form that the rest knows."""
    from bytemlperf.conversion.torch_state import convert_state

    assert artifact.path is not None
    source = artifact.path
    folder = cache_dir(cache) / "converted" / digest({"state": artifact.sha256})
    about = {"model": artifact.name, "format": "safetensors", "weights": artifact.sha256}
    name = INDEX if is_index(source.name) else SINGLE
    entry = kept(folder, name, lambda path: convert_state(source, path), about=about)
    return attrs.evolve(artifact, path=entry.path, sha256=entry.sha256, derived_from=artifact.sha256)


def _as_saved_model(artifact: ModelArtifact, recipe: Recipe, cache: Path | None) -> ModelArtifact:
    key = digest({"weights": artifact.sha256, "definition": definition(recipe), "tensorflow": version("tensorflow")})
    folder = cache_dir(cache) / "converted" / key
    about = {
        "model": artifact.name,
        "format": str(Format.SAVED_MODEL),
        "definition": recipe.version,
        "weights": artifact.sha256,
        "tensorflow": version("tensorflow"),
    }
    entry = kept(folder, "saved_model", lambda path: _write_saved_model(artifact, recipe, path), about=about)
    return attrs.evolve(
        artifact, format=Format.SAVED_MODEL, path=entry.path, sha256=entry.sha256, derived_from=artifact.sha256
    )


def _write_saved_model(artifact: ModelArtifact, recipe: Recipe, path: Path) -> None:
    from bytemlperf.conversion.tf_saved_model import write_saved_model

    assert artifact.path is not None
    build = load(recipe.architecture, what="the architecture")
    check_config(build, recipe)
    try:
        module = build(read_arrays(artifact.path), **recipe.config)
    except BenchmarkError:
        raise
    except Exception as error:  # an architecture may come from anyone
        raise ArtifactError(
            f"{artifact.name} cannot be built from its weights",
            where=recipe.architecture,
            got=f"{type(error).__name__}: {error}",
            remedy=f"its configuration is {dict(recipe.config)}",
        ) from error
    write_saved_model(module, path)
