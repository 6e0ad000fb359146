"""Where a data set's files are: a path, or where they are published, from which they are fetched into the cache."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from bytemlperf.datasets.base import DatasetOptions
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.fetch import dataset_files, file_name, is_archive, split_pin
from bytemlperf.spec import Source, SourceKind
from bytemlperf.spec.fields import as_tuple, at_least

if TYPE_CHECKING:
    from collections.abc import Sequence

HUB: Final = "hub://"
"""How the name of a repository on the hub begins where a path could stand."""


@attrs.frozen(kw_only=True)
class FileOptions(DatasetOptions):
    """Where files are, and which samples are kept from evaluation.

    Attributes:
        path: A file or folder. Or where it is fetched from, once: the URL of a file (`https://`, `file://`), perhaps
            pinned (`#sha256=...`); of an archive, which is unpacked; of a folder that has `files`; or a data set's
            repository on the hub (`hub://owner/name`) that has them.
        files: Names of the files in the repository, or below the URL; of an archive all where none is named.
        revision: Commit or tag of the repository; None for the newest commit.
        sha256: Digest that the one fetched file must have, or the archive.
        held_out: How many samples, the last of the data, are for calibration and never scored.
        cache: Folder of the cache, for what is made of the files and read from there; None for the usual one.
    """

    path: str | None = None
    files: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    revision: str | None = None
    sha256: str | None = None
    held_out: int = attrs.field(default=0, validator=at_least(0))
    cache: str | None = None


def located(
    options: FileOptions,
    *,
    dataset: str,
    layout: str,
    names: Sequence[str] = (),
    folder: bool = False,
    unpacks: bool = True,
) -> Path:
    """Return the file or folder that options name, fetched where it is not on this machine.

    Args:
        options: Where it is.
        dataset: Name for messages.
        layout: What is expected there, for messages.
        names: Where a folder is given: the first of these that it has is returned, and one must be there. In what was
            fetched it may lie in a folder further down.
        folder: Whether the data set reads a folder even where one file alone was fetched.
        unpacks: Whether a fetched archive is unpacked; otherwise the data set reads it as it is.

    Raises:
        SpecError: If options contradict each other, or a source is malformed.
        DatasetUnavailableError: If nothing is named, nothing is there, it cannot be fetched, or something else comes
            than what was pinned.
    """
    if options.path is None:
        remedy = "name them: option `path` of the data set"
        raise DatasetUnavailableError(
            f"files of data set {dataset!r} come with no package", expected=layout, remedy=remedy
        )
    fetched = re.match(r"[a-z]+://", options.path) is not None
    path = _fetched(options, options.path, folder=folder, unpacks=unpacks) if fetched else Path(options.path)
    found = _named(path, names, anywhere=fetched) if path.is_dir() and names else path
    if found is None or not found.exists():
        raise DatasetUnavailableError(f"files of data set {dataset!r} are missing", where=str(path), expected=layout)
    return found


def _named(folder: Path, names: Sequence[str], *, anywhere: bool) -> Path | None:
    """Return the first of some files that a folder has, or where it may lie anywhere, that a folder in it has."""
    for name in names:
        further = sorted(folder.rglob(name)) if anywhere else []
        found = next((each for each in [folder / name, *further] if each.exists()), None)
        if found is not None:
            return found
    return None


def _fetched(options: FileOptions, place: str, *, folder: bool, unpacks: bool) -> Path:
    """Fetch what options name; return the one file, or else the folder of all."""
    source = _source(options, place, unpacks=unpacks)
    files = dataset_files(source).files
    name, path = next(iter(files.items()))
    if len(files) == 1 and not folder and source.kind is not SourceKind.ARCHIVE:
        return path
    root = path.parents[len(PurePosixPath(name).parts) - 1]
    within = list(root.iterdir())
    alone = source.kind is SourceKind.ARCHIVE and len(within) == 1 and within[0].is_dir()
    return within[0] if alone else root


def _source(options: FileOptions, place: str, *, unpacks: bool) -> Source:
    if place.startswith(HUB):
        if not options.files:
            raise SpecError(
                "the files of a repository on the hub have to be named", where="$.dataset.options.files", got=place
            )
        return Source(
            kind=SourceKind.HUB_DATASET,
            location=place.removeprefix(HUB),
            revision=options.revision,
            files=options.files,
            sha256=_pinned(options.sha256, options.files),
        )
    url, pin = split_pin(place)
    if None not in (pin, options.sha256) and pin != str(options.sha256).lower():
        raise SpecError("two digests are given for one file", where="$.dataset.options", got=(pin, options.sha256))
    archive = unpacks and is_archive(file_name(url))
    names = options.files if options.files and not archive else (file_name(url),)
    return Source(
        kind=SourceKind.ARCHIVE if archive else SourceKind.URL,
        location=url,
        files=options.files,
        sha256=_pinned(pin or options.sha256, names),
    )


def _pinned(sha256: str | None, names: Sequence[str]) -> dict[str, str]:
    if sha256 is None:
        return {}
    if len(names) != 1:
        raise SpecError("one digest is given for several files", where="$.dataset.options.sha256", got=list(names))
    return {names[0]: sha256}


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


def read_lines(path: Path) -> list[str]:
    """Return a text file's lines, without what ends them: a newline, perhaps after a carriage return.

    Nothing else ends a line: `str.splitlines` would split at U+2028, U+0085 and others too, which may be a line's text.

    Raises:
        DatasetError: If it is no UTF-8 text.
    """
    lines = [line.removesuffix("\r") for line in read_text(path).split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_json(path: Path, *, layout: str) -> Any:  # noqa: ANN401 - JSON
    """Return what a JSON file holds.

    Args:
        path: The file.
        layout: What is expected of it, for the message.

    Raises:
        DatasetError: If it cannot be read or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DatasetError("a file is no JSON", where=str(path), got=str(error), expected=layout) from error


def as_text(value: Any) -> str:  # noqa: ANN401 - JSON
    """Return a value of JSON that has to be text: `str` would make words of anything, "None" of what is missing.

    Raises:
        TypeError: If it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"text is expected, and this is {type(value).__name__}: {value!r:.60}")
    return value


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
