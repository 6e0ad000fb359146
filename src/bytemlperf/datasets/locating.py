"""Where a data set's files are: a path, or a URL whose content goes through the cache."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import attrs

from bytemlperf.datasets.base import DatasetOptions
from bytemlperf.errors import DatasetError, DatasetUnavailableError
from bytemlperf.fetch import url_file
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence


@attrs.frozen(kw_only=True)
class FileOptions(DatasetOptions):
    """Where files are, and which samples are kept from evaluation.

    Attributes:
        path: The file or folder; or a URL (`https://`, `file://`) of the file, which is fetched once and kept.
        sha256: Digest that a fetched file must have.
        held_out: How many samples, the last of the data, are for calibration and never scored.
    """

    path: str | None = None
    sha256: str | None = None
    held_out: int = attrs.field(default=0, validator=at_least(0))


def located(options: FileOptions, *, dataset: str, layout: str, names: Sequence[str] = ()) -> Path:
    """Return the file or folder that options name.

    Args:
        options: Where it is.
        dataset: Name for messages.
        layout: What is expected there, for messages.
        names: Where a folder is given: the first of these that it has is returned, and one must be there.

    Raises:
        DatasetUnavailableError: If nothing is named, or nothing is there.
        WeightsUnavailableError: If a URL cannot be fetched.
        ChecksumError: If something else comes than what was pinned.
    """
    if options.path is None:
        remedy = "name them: option `path` of the data set"
        raise DatasetUnavailableError(
            f"files of data set {dataset!r} come with no package", expected=layout, remedy=remedy
        )
    if re.match(r"[a-z]+://", options.path):
        return url_file(options.path, sha256=options.sha256).path
    path = Path(options.path)
    found = next((path / name for name in names if (path / name).exists()), None) if path.is_dir() and names else path
    if found is None or not found.exists():
        raise DatasetUnavailableError(f"files of data set {dataset!r} are missing", where=str(path), expected=layout)
    return found


def read_bytes(path: Path) -> bytes:
    """Return a file's content.

    Raises:
        DatasetError: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error


def read_text(path: Path) -> str:
    """Return a text file's content, which must be UTF-8; a mark of byte order at its beginning is dropped.

    Raises:
        DatasetError: If it is none; says at which byte.
    """
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            "a file is no UTF-8 text", where=f"{path}, byte {error.start}", got=str(error.reason)
        ) from None


def refuse_record(path: Path | str, record: object, what: str, *, got: object = None, expected: str = "") -> NoReturn:
    """Refuse a record of a file.

    Raises:
        DatasetError: Always; names the file and the record.
    """
    raise DatasetError(what, where=f"{path}:{record}", got=got, expected=expected or None)


def split_off(total: int, held_out: int, *, dataset: str) -> int:
    """Return how many samples are evaluated when the last `held_out` are kept for calibration.

    Raises:
        DatasetError: If none would be left.
    """
    if held_out >= total:
        expected = f"fewer than the {total} samples of data set {dataset!r}"
        raise DatasetError("no sample is left to evaluate", where="held_out", got=held_out, expected=expected)
    return total - held_out
