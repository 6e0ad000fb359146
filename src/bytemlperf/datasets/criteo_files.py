"""From Criteo's text to a compact binary form, block by block.

A row is a label, 13 counts and 26 hashed words, separated by tabs (Kaggle's `train.txt`) or commas (the original's
`eval.csv`); an empty count is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.fast_hash import fingerprints
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTS: Final = 13
WORDS: Final = 26
BUCKETS: Final = 1000
"""Buckets of a word, as the original hashes it."""
COLUMNS: Final = 1 + COUNTS + WORDS
BLOCK_BYTES: Final = 16 * 2**20
"""Text that is parsed at a time; parsing takes some 20 times as much."""
_NEWLINE: Final = 10
_RETURN: Final = 13
_MINUS: Final = 45
_POINT: Final = 46
_DIGIT: Final = 48
_LONGEST: Final = 18
"""Characters of a number that cannot overflow."""

COUNT_ORDER: Final = tuple(sorted(range(1, COUNTS + 1), key=lambda number: f"I{number}"))
"""Columns of counts in the order that the original's model takes them: by name, I1, I10, I11, ..."""
WORD_ORDER: Final = tuple(sorted(range(1, WORDS + 1), key=lambda number: f"C{number}_embedding"))
"""Columns of words in the order that the original's model takes them: by name, C10, ..., C19, C1, C20, ..."""


@attrs.frozen(kw_only=True, eq=False)
class Rows:
    """Parsed rows.

    Attributes:
        clicked: uint8[n], 0 or 1.
        counts: float32[n, 13], in `COUNT_ORDER`.
        buckets: uint16[n, 26], in `WORD_ORDER`.
        skipped: Lines that cannot be used, and why.
    """

    clicked: NDArray[np.uint8]
    counts: NDArray[np.float32]
    buckets: NDArray[np.uint16]
    skipped: tuple[str, ...] = ()


def parsed_blocks(path: Path, *, skip: bool = False, block_bytes: int = BLOCK_BYTES) -> Iterator[Rows]:
    """Parse a file; memory is that of some blocks, however long the file is.

    Args:
        path: Of the text.
        skip: Leave out lines that cannot be used and say which, in the place of refusing the file.
        block_bytes: Text that is parsed at a time.

    Raises:
        DatasetError: If a line cannot be used; names it.
    """
    line = 1
    for block in _blocks(path, block_bytes):
        data = np.frombuffer(block, np.uint8)
        rows, lines = _parsed(data, path=path, line=line, skip=skip)
        line += lines
        yield rows


def _blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    """Yield whole lines, each ended by a newline."""
    rest = b""
    try:
        with path.open("rb") as file:
            while read := file.read(block_bytes):
                whole, newline, rest = (rest + read).rpartition(b"\n")
                if newline:
                    yield whole + newline
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error
    if rest.strip():
        yield rest + b"\n"


def _parsed(data: NDArray[np.uint8], *, path: Path, line: int, skip: bool) -> tuple[Rows, int]:
    separator = 9 if 9 in data[:4096] else ord(",")  # noqa: PLR2004 - a tab
    ends = np.flatnonzero(data == _NEWLINE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    marks = np.flatnonzero((data == separator) | (data == _NEWLINE))
    columns = np.diff(np.searchsorted(marks, ends, side="right"), prepend=0)
    usable = columns == COLUMNS
    skipped = [f"{path}:{line + at}: {columns[at]} columns" for at in np.flatnonzero(~usable).tolist()]
    if skipped and not skip:
        at = int(np.flatnonzero(~usable)[0])
        _refuse(path, line + at, f"{columns[at]} columns", f"a label, {COUNTS} counts and {WORDS} words")
    field_ends = marks[np.repeat(usable, columns)].reshape(-1, COLUMNS)
    field_starts = np.concatenate([starts[usable][:, np.newaxis], field_ends[:, :-1] + 1], axis=1)
    field_ends[:, -1] -= data[field_ends[:, -1] - 1] == _RETURN
    rows, wrong = _fields(data, field_starts, field_ends - field_starts)
    numbers = line + np.flatnonzero(usable)
    bad = np.flatnonzero(wrong)
    if bad.size and not skip:
        first = slice(field_starts[bad[0], 0], field_ends[bad[0], COUNTS])
        _refuse(path, int(numbers[bad[0]]), bytes(data[first]), "the label 0 or 1, and numbers or nothing")
    skipped += [f"{path}:{numbers[at]}: a label or a count is none" for at in bad.tolist()]
    good = ~wrong
    kept = Rows(
        clicked=rows.clicked[good], counts=rows.counts[good], buckets=rows.buckets[good], skipped=tuple(skipped)
    )
    return kept, len(ends)


def _fields(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[Rows, NDArray[np.bool_]]:
    """Return rows, and bool[n] which of them have a label or a count that is none."""
    order = [0, *COUNT_ORDER]
    values, wrong = _numbers(data, starts[:, order], lengths[:, order])
    wrong[:, 0] |= ~np.isin(values[:, 0], (0, 1))
    wrong[:, 0] |= lengths[:, 0] == 0
    words = [COUNTS + number for number in WORD_ORDER]
    hashed = fingerprints(data, starts[:, words].ravel(), lengths[:, words].ravel()) % np.uint64(BUCKETS)
    rows = Rows(
        clicked=(values[:, 0] == 1).astype(np.uint8),
        counts=values[:, 1:].astype(np.float32),
        buckets=hashed.astype(np.uint16).reshape(-1, WORDS),
    )
    unusable: NDArray[np.bool_] = np.any(wrong, axis=1)
    return rows, unusable


def _numbers(
    data: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Read plain decimal numbers, an empty one as 0; the second array tells which are none."""
    whole, places = np.zeros(starts.shape, np.int64), np.zeros(starts.shape, np.int64)
    negative, after, digits = (np.zeros(starts.shape, np.bool_) for _ in range(3))
    wrong = lengths > _LONGEST
    for place in range(min(int(lengths.max(initial=0)), _LONGEST)):
        inside = place < lengths
        character = data[np.where(inside, starts + place, 0)]
        digit = character - _DIGIT  # below 0 it wraps round, to more than 9
        is_digit, is_point = inside & (digit < 10), inside & (character == _POINT)  # noqa: PLR2004 - digits
        is_sign = inside & (character == _MINUS) & (place == 0)
        whole = np.where(is_digit, whole * 10 + digit, whole)
        places += is_digit & after
        wrong |= inside & ~is_digit & ~is_sign & ~(is_point & ~after)
        negative, after, digits = negative | is_sign, after | is_point, digits | is_digit
    wrong |= (lengths > 0) & ~digits
    return np.where(negative, -whole, whole) / 10.0**places, wrong


def _refuse(path: Path, line: int, got: object, expected: str) -> NoReturn:
    raise DatasetError("a line cannot be used", where=f"{path}:{line}", got=got, expected=expected)
