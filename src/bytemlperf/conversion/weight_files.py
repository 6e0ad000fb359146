"""Weights on disk: one safetensors file, or an index and the shards that it names. Needs no framework."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.artifact import digest_of, digest_of_files
from bytemlperf.errors import ArtifactError, WeightsUnavailableError
from bytemlperf.fetch import is_index, remembered_digest, weight_map

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.sample import Array

SINGLE: Final = "model.safetensors"
"""Usual name of weights in one file."""

INDEX: Final = "model.safetensors.index.json"
"""Usual name of the index of weights in several."""

SHARD_BYTES: Final = 1 << 30
"""Weights that take more are written to several files of about that size."""


@attrs.frozen(kw_only=True)
class StoredWeight:
    """A weight in a file, not read.

    Attributes:
        file: The safetensors file that holds it.
        shape: Its lengths.
    """

    file: Path
    shape: tuple[int, ...]


def weights_in(folder: Path) -> Path | None:
    """Return the index, or else the one file of weights, that a folder holds; None where it holds no such."""
    for pattern in ("*.safetensors.index.json", "*.safetensors", "*.bin.index.json"):
        found = sorted(folder.glob(pattern))
        if found:
            return found[0] if len(found) == 1 else None
    return None


def weight_files(path: Path) -> tuple[Path, ...]:
    """Return the files that hold an artifact's weights, in the order of their names.

    Args:
        path: One file, the index of several, or a folder with either.

    Raises:
        WeightsUnavailableError: If one is not there.
        ArtifactError: If an index cannot be read, or the folder holds no weights or several.
    """
    found = weights_in(path) if path.is_dir() else path
    if found is None:
        raise ArtifactError(
            "a folder does not hold the weights of one model",
            where=str(path),
            got=sorted(each.name for each in path.iterdir()),
            expected=f"one .safetensors file, or {INDEX} and its shards",
        )
    named = sorted(set(weight_map(found).values())) if is_index(found.name) and found.is_file() else [found.name]
    files = tuple(found.parent / name for name in named)
    for file in files:
        if not file.is_file():
            raise WeightsUnavailableError(
                "a file of weights is not there", where=str(file), expected="a safetensors file"
            )
    return files


def weights_digest(path: Path, *, cache: Path) -> str:
    """Return the digest of an artifact's weights: of the one file, or of index and shards as of a folder of just these.

    Large files are read once; see `fetch.remembered_digest`.

    Raises:
        ArtifactError: As `weight_files`, or if a file cannot be read.
    """
    files = weight_files(path)
    index = weights_in(path) if path.is_dir() else path
    whole = files if index is None or index in files else (index, *files)
    return remembered_digest(whole, base=whole[0].parent, cache=cache)


def artifact_digest(path: Path) -> str:
    """Return the digest of an artifact's content, whatever it is: `digest_of`, with an index's shards.

    Raises:
        ArtifactError: If something is missing.
    """
    if not is_index(path.name):
        return digest_of(path)
    return digest_of_files({each.name: digest_of(each) for each in (path, *weight_files(path))})


def stored_weights(path: Path) -> dict[str, StoredWeight]:
    """Return where each weight lies and its shape, as the files' headers say it.

    Raises:
        ArtifactError: If a file is missing or is no safetensors file, or two files hold one weight.
    """
    from safetensors import SafetensorError, safe_open

    found: dict[str, StoredWeight] = {}
    for file in weight_files(path):
        try:
            with safe_open(file, framework="numpy") as opened:
                shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError) as error:
            raise ArtifactError(
                "the weights cannot be read", where=file.name, got=str(error), expected="a safetensors file"
            ) from error
        if twice := sorted(set(shapes) & set(found)):
            raise ArtifactError("two files hold one weight", where=file.name, got=twice[0])
        found |= {name: StoredWeight(file=file, shape=shape) for name, shape in shapes.items()}
    return found


def weight_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shape of each weight.

    Raises:
        ArtifactError: As `stored_weights`.
    """
    return {name: each.shape for name, each in stored_weights(path).items()}


def read_arrays(path: Path) -> Mapping[str, Array]:
    """Read all weights as numpy arrays by name.

    Raises:
        ArtifactError: If a file is missing or cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    arrays: dict[str, Array] = {}
    for file in weight_files(path):
        try:
            with ExitStack() as stack:
                opened = stack.enter_context(safe_open(file, framework="numpy"))
                arrays |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, OSError) as error:
            raise ArtifactError(
                "the weights cannot be read", where=file.name, got=str(error), expected="a safetensors file"
            ) from error
    return arrays
