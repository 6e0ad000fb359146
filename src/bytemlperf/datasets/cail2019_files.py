"""Triplets of legal cases: the published text, or the original's arrays of token ids."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.locating import as_text, read_bytes, refuse_record
from bytemlperf.datasets.restricted_pickle import restricted_load
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUT: Final = (
    "test.json of CAIL2019's similar case matching (a line {A, B, C, label} for each triplet), or a folder with the "
    "original's batch_token_ids.npy, batch_segment_ids.npy and label.npy"
)
NAMES: Final = ("test.json", "batch_token_ids.npy")
ARRAYS: Final = ("batch_token_ids.npy", "batch_segment_ids.npy", "label.npy")
_WHICH: Final = {"B": ("B", "C"), "C": ("C", "B")}


@attrs.frozen(kw_only=True)
class Triplet:
    """Three cases.

    Attributes:
        case: The first.
        similar: The one that is more similar to it.
        other: The other.
    """

    case: str
    similar: str
    other: str


@attrs.frozen(kw_only=True, eq=False)
class Tokens:
    """Token ids of pairs, of different lengths.

    Attributes:
        ids: int32[length] each.
        types: int32[length] each.
    """

    ids: tuple[NDArray[np.int32], ...]
    types: tuple[NDArray[np.int32], ...]


def read_triplets(path: Path, *, skipped: list[str] | None = None) -> Iterator[Triplet]:
    """Yield triplets from lines of JSON, of which one at a time is in memory.

    Args:
        path: Of the lines.
        skipped: Takes what is wrong with lines that cannot be used; None refuses them.

    Raises:
        DatasetError: If a line cannot be used, or there is none; names it.
    """
    total = 0
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            triplet = _triplet(line)
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            problem = f"{type(error).__name__}: {error}"
            if skipped is None:
                refuse_record(
                    path, number, "a triplet cannot be used", got=problem, expected="{A, B, C, label: B or C}"
                )
            skipped.append(f"{path}:{number}: {problem}")
        else:
            total += 1
            yield triplet
    if not total:
        raise DatasetError("the file has no triplet", where=str(path), expected=LAYOUT)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error


def _triplet(line: bytes) -> Triplet:
    record = json.loads(line.decode("utf-8-sig"))
    similar, other = _WHICH[record["label"]]
    return Triplet(case=_case(record["A"]), similar=_case(record[similar]), other=_case(record[other]))


def _case(value: Any) -> str:  # noqa: ANN401 - JSON
    text = as_text(value)
    if not text.strip():
        raise ValueError("a case has no text")
    return text


def read_arrays(folder: Path) -> Tokens:
    """Read the original's arrays, pairs (A, similar) and (A, other) in turn; all of them are in memory.

    Lists of different lengths are a pickle inside the file; of it nothing but lists and arrays of numbers is read.

    Raises:
        DatasetError: If they are damaged, or do not fit each other.
    """
    ids, types, labels = (_rows(folder / name) for name in ARRAYS)
    flat = np.array([int(label[0]) if len(label) else -1 for label in labels])
    if not len(ids) or len({len(ids), len(types), len(flat)}) != 1 or len(ids) % 2:
        got = [len(ids), len(types), len(flat)]
        raise DatasetError("arrays differ in length, or are no pairs", where=str(folder), got=got)
    wrong = np.flatnonzero(flat != np.tile([1, 0], len(flat) // 2))
    unlike = [row for row, (one, other) in enumerate(zip(ids, types, strict=True)) if len(one) != len(other)]
    if wrong.size or unlike:
        row = int(wrong[0]) if wrong.size else unlike[0]
        refuse_record(
            folder / "label.npy", row, "a pair cannot be used", expected="labels 1 and 0 in turn, equal lengths"
        )
    return Tokens(ids=ids, types=types)


def _rows(path: Path) -> tuple[NDArray[np.int32], ...]:
    file = io.BytesIO(read_bytes(path))
    try:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, _, dtype = read(file)
        found: Any = (
            restricted_load(file) if dtype.hasobject else np.load(io.BytesIO(file.getvalue()), allow_pickle=False)
        )
        return tuple(_row(row) for row in found)
    except DatasetError:
        raise
    except Exception as error:  # a damaged pickle raises whatever its damage leads to
        got = f"{type(error).__name__}: {error}"
        raise DatasetError("an array cannot be read", where=str(path), got=got, expected=LAYOUT) from error


def _row(values: Any) -> NDArray[np.int32]:  # noqa: ANN401 - what the file holds
    row = np.atleast_1d(np.asarray(values))
    if row.ndim != 1 or row.dtype.kind not in "iu":
        raise ValueError(f"a row is no list of whole numbers: {row.dtype} {row.shape}")
    if row.size and (row.min() < 0 or row.max() > np.iinfo(np.int32).max):
        raise ValueError(f"an id or a label is beyond any vocabulary: {row.min()} to {row.max()}")
    return row.astype(np.int32)
