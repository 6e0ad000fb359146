"""Archives: unpacked into the cache so that nothing in them can reach anything else, or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Final, TypeVar, cast

import attrs

from bytemlperf.errors import ArtifactError, BenchmarkError
from bytemlperf.fetch.transfer import Transfer
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")

SUFFIXES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
"""How names of archives end."""

_BLOCK_BYTES: Final = 1 << 20
_LONGEST_NAME: Final = 1024
_LARGEST_READ: Final = 16 << 20
_HEADER_BYTES: Final = 4 << 10
"""Room for the headers and the padding of one member of a tar."""
_COMPRESSIONS: Final[Mapping[bytes, Callable[[Path], object]]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


@attrs.frozen(kw_only=True)
class Bounds:
    """What an archive may at most unpack to.

    Attributes:
        total_bytes: All its files together.
        ratio: All its files together to the archive itself; random numbers do not shrink, and
            weights little, so that a large ratio is a bomb.
        free_below_bytes: Archives that unpack to less may have any ratio.
        members: Files and folders.
    """

    total_bytes: int = attrs.field(default=200 << 30, validator=at_least(1))
    ratio: int = attrs.field(default=100, validator=at_least(1))
    free_below_bytes: int = attrs.field(default=64 << 20, validator=at_least(0))
    members: int = attrs.field(default=100_000, validator=at_least(1))

    def most_bytes(self, archive_bytes: int) -> int:
        """Return what an archive of that size may unpack to."""
        return min(self.total_bytes, max(self.ratio * archive_bytes, self.free_below_bytes))


@attrs.frozen(kw_only=True)
class _Member:
    """A file or folder in an archive.

    Attributes:
        name: Its path, as the archive has it.
        is_folder: Whether it is a folder.
        refusal: Why it is not unpacked (`a link`); None where it is a plain file or folder.
        size_bytes: What the archive says of its size.
        open: Gives its content.
    """

    name: str
    is_folder: bool
    refusal: str | None
    size_bytes: int
    open: Callable[[], IO[bytes] | None]


def is_archive(name: str) -> bool:
    """Tell by a file's name whether it is an archive that `unpack` reads.

    Example:
        >>> is_archive("model.tar.gz"), is_archive("model.onnx")
        (True, False)
    """
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path, *, bounds: Bounds | None = None, transfer: Transfer | None = None) -> None:
    """Unpack an archive into a new folder, with plain permissions and none of its owners.

    Every member is looked at before any is written. Absolute names, names with `..`, links,
    devices, names that differ only in case or form, and names that are a file here and a folder
    there are refused, and with them the whole archive. What is written is counted, whatever the
    archive says of sizes. If anything is refused, the folder does not stay.

    Args:
        archive: A `.tar`, plain or compressed, or a `.zip`.
        folder: Must not exist; its parent does.
        bounds: What it may unpack to.
        transfer: Tells the free space.

    Raises:
        ArtifactError: If it is damaged or cannot be read, holds what is refused, or is too large unpacked.
        WeightsUnavailableError: If the disk has no room for it.
        OSError: If the folder cannot be written.
    """
    limits = bounds or Bounds()
    most = limits.most_bytes(archive.stat().st_size)
    with _members(archive, limits, most) as members:
        _check_all(archive, members, most)
        (transfer or Transfer()).check_room(folder.parent, sum(each.size_bytes for each in members), archive.name)
        folder.mkdir()
        try:
            _write_all(archive, members, folder, most)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


class _Guarded:
    """A stream out of which nobody can be made to read more at once, or further on, than is sensible."""

    def __init__(self, file: IO[bytes], most: int) -> None:
        self._file, self._most = file, most

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes, which must be said."""
        if not 0 <= size <= _LARGEST_READ:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)

    def seek(self, position: int, whence: int = 0) -> int:
        """Go to a position from the start."""
        if whence or not 0 <= position <= self._most:
            raise tarfile.ReadError(f"contents up to byte {position:,}, where at most {self._most:,} are unpacked")
        return self._file.seek(position)

    def tell(self) -> int:
        """Return the position."""
        return self._file.tell()

    def exhaust(self) -> None:
        """Read on to the end, where compressed streams have their sums: a tar's own end comes before."""
        while self._file.read(_BLOCK_BYTES):
            if self._file.tell() > self._most:
                raise tarfile.ReadError(f"more than {self._most:,} bytes")


@contextmanager
def _members(archive: Path, limits: Bounds, most: int) -> Iterator[list[_Member]]:
    with ExitStack() as opened:
        with _reading(archive):
            if zipfile.is_zipfile(archive):
                zipped = opened.enter_context(zipfile.ZipFile(archive))
                members = [_of_zip(zipped, each) for each in _counted(archive, zipped.infolist(), limits)]
            else:
                stream = opened.enter_context(_stream(archive))
                guarded = _Guarded(stream, most + limits.members * _HEADER_BYTES)
                tar = opened.enter_context(tarfile.open(fileobj=cast("IO[bytes]", guarded), mode="r:"))
                members = [_of_tar(tar, each) for each in _counted(archive, tar, limits)]
                if not isinstance(stream, io.BufferedReader):
                    guarded.exhaust()
        yield members


@contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Tell what goes wrong while an archive is read, and only then: writing has errors of its own."""
    try:
        yield
    except BenchmarkError:
        raise
    except Exception as error:  # damage leads the readers to whatever their steps happen to raise, plain OSErrors too
        raise _refused(archive, "the archive cannot be read", f"{type(error).__name__}: {error}") from error


def _stream(archive: Path) -> IO[bytes]:
    """Open a tar, unpacked by what its first bytes say."""
    with archive.open("rb") as file:
        start = file.read(6)
    for magic, opener in _COMPRESSIONS.items():
        if start.startswith(magic):
            return cast("IO[bytes]", opener(archive))
    return archive.open("rb")


def _counted(archive: Path, members: Iterable[T], limits: Bounds) -> Iterator[T]:
    for number, each in enumerate(members):
        if number == limits.members:
            raise _refused(archive, "the archive has too many members", f"more than {number:,}")
        yield each


def _of_tar(tar: tarfile.TarFile, member: tarfile.TarInfo) -> _Member:
    kinds = {"a link": member.issym() or member.islnk(), "a device or pipe": member.isdev()}
    refusal = next((name for name, is_so in kinds.items() if is_so), None)
    if refusal is None and not (member.isreg() or member.isdir()):
        refusal = "no plain file"
    return _Member(
        name=member.name,
        is_folder=member.isdir(),
        refusal=refusal,
        size_bytes=member.size if member.isreg() else 0,
        open=lambda: tar.extractfile(member),
    )


def _of_zip(zipped: zipfile.ZipFile, member: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(member.external_attr >> 16)
    plain = {0, stat.S_IFREG, stat.S_IFDIR}
    refusal = "a link" if kind == stat.S_IFLNK else None if kind in plain else "a device or pipe"
    if member.flag_bits & 1:
        refusal = "encrypted"
    return _Member(
        name=member.filename,
        is_folder=member.is_dir(),
        refusal=refusal,
        size_bytes=member.file_size,
        open=lambda: zipped.open(member),
    )


def _check_all(archive: Path, members: list[_Member], most: int) -> None:
    total = sum(each.size_bytes for each in members)
    if total > most:
        raise _too_large(archive, total, most)
    for each in members:
        problem = each.refusal or _problem(each.name, is_folder=each.is_folder)
        if problem is not None:
            raise _refused(archive, f"the archive holds {problem}", each.name, "plain files below one folder")
    _check_collisions(archive, members)


def _problem(name: str, *, is_folder: bool) -> str | None:
    """Tell what is wrong with a member's name; None where nothing is."""
    path = PurePosixPath(name)
    problems = {
        "a name that leads out of it": ".." in path.parts,
        "an absolute name": path.is_absolute() or (len(name) > 1 and name[1] == ":"),
        "a name that another system reads otherwise": "\\" in name or any(ord(each) < ord(" ") for each in name),
        "a file without a name": not path.parts and not is_folder,
        "a name that is too long": len(name) > _LONGEST_NAME,
    }
    return next((text for text, is_so in problems.items() if is_so), None)


def _check_collisions(archive: Path, members: Iterable[_Member]) -> None:
    """Refuse names that are one and the same on some file systems, and files that others take for folders."""
    names: dict[str, str] = {}
    files: set[str] = set()
    folders: set[str] = set()
    for each in members:
        parts = PurePosixPath(each.name).parts
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        whole = "/".join(parts)
        again = whole in files or (whole in folders and not each.is_folder) or files.intersection(above)
        folders.update(above, [whole] if each.is_folder else [])
        files.update([] if each.is_folder else [whole])
        for name in (*above, whole):
            known = names.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
            if known != name or again:
                raise _refused(archive, "the archive holds two names for one place", f"{known} and {name}")


def _write_all(archive: Path, members: Iterable[_Member], folder: Path, most: int) -> None:
    written = 0
    for each in members:
        path = folder.joinpath(*PurePosixPath(each.name).parts)
        if each.is_folder:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with _reading(archive):
            content = each.open()
        if content is None:
            raise _refused(archive, "the archive holds a file without content", each.name)
        with content:
            size = _copy(_blocks(archive, content), path, most - written, lambda size: _too_large(archive, size, most))
        if size != each.size_bytes:
            raise _refused(archive, "the archive ends early", f"{size:,} bytes of {each.name}", f"{each.size_bytes:,}")
        written += size


def _blocks(archive: Path, content: IO[bytes]) -> Iterator[bytes]:
    while True:
        with _reading(archive):
            block = content.read(_BLOCK_BYTES)
        if not block:
            return
        yield block


def _copy(blocks: Iterable[bytes], path: Path, most: int, too_large: Callable[[int], ArtifactError]) -> int:
    """Write a member; what it really holds counts, not what the archive says of it."""
    size = 0
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644), "wb") as file:
        for block in blocks:
            size += len(block)
            if size > most:
                raise too_large(size)
            file.write(block)
    return size


def _too_large(archive: Path, found: int, most: int) -> ArtifactError:
    return _refused(
        archive, "the archive unpacks to more than it may", f"{found:,} bytes or more", f"at most {most:,} bytes"
    )


def _refused(archive: Path, what: str, got: str, expected: str | None = None) -> ArtifactError:
    return ArtifactError(
        what,
        where=archive.name,
        got=got,
        expected=expected,
        remedy="nothing of it was kept; unpack it yourself if you trust it, and give the path",
    )
