"""An archive is read whole, or refused: Python's reader takes what it cannot read for the end."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile

import numpy as np
import pytest
from tests.datasets.image_files import names, photograph, write_tar

from bytemlperf.datasets.tar_images import TarImages, read_member, sha256_of_member
from bytemlperf.errors import DatasetError

BLOCK = 512
LONG = "a" * 90 + "/" + "é" * 90 + ".JPEG"


@pytest.fixture(name="contents", scope="module")
def _contents():
    rng = np.random.default_rng(3)
    return {name: photograph(rng, (40 + number, 30)) for number, name in enumerate(names(5))}


@pytest.fixture(name="path")
def _path(tmp_path, contents):
    return write_tar(tmp_path / "val.tar", contents)


@pytest.fixture(name="headers")
def _headers(path):
    """Where each file's header begins, and where the zeros begin that end the archive."""
    with tarfile.open(path) as archive:
        places = [member.offset for member in archive]
        return [*places, archive.offset]


def found(archive, name):
    (file,) = archive.find([name])
    return file


def test_the_table_is_that_of_the_archive(path, contents):
    archive = TarImages(path)
    assert {file.name: file.size_bytes for file in archive.files} == {
        name: len(content) for name, content in contents.items()
    }
    file = found(archive, names(5)[3])
    assert read_member(path, file).size == (43, 30)
    assert sha256_of_member(path, file) == hashlib.sha256(contents[file.name]).hexdigest()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_files_are_found_by_name_among_many(tmp_path, form):
    contents = {f"{number}.JPEG": str(number).encode() for number in range(2_000)} | {LONG: b"long"}
    with tarfile.open(tmp_path / "many.tar", "w", format=form) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    images = TarImages(tmp_path / "many.tar")
    asked = ["7.JPEG", "none.JPEG", LONG, "1999.JPEG"]
    assert [file and file.name for file in images.find(asked)] == ["7.JPEG", None, LONG, "1999.JPEG"]
    for file in filter(None, images.find(list(contents))):
        assert sha256_of_member(tmp_path / "many.tar", file) == hashlib.sha256(contents[file.name]).hexdigest()


def test_the_table_is_read_once_for_each_archive(tmp_path, path, contents):
    first, again = (TarImages(path, cache=str(tmp_path / "cache")) for _ in range(2))
    assert list(first.files) == list(again.files)
    write_tar(path, [*contents.items(), ("more.JPEG", b"x")])
    assert len(TarImages(path, cache=str(tmp_path / "cache")).files) == 6
    assert len(list((tmp_path / "cache" / "datasets" / "archives").glob("[!.]*"))) == 2


def test_a_member_that_is_no_image_is_named(tmp_path):
    path = write_tar(tmp_path / "a.tar", {"a.png": b"none"})
    with pytest.raises(DatasetError, match=r"cannot be read: a\.png"):
        read_member(path, found(TarImages(path), "a.png"))


def cut(path, place):
    path.write_bytes(path.read_bytes()[:place])


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("into", [0, 1, 100, BLOCK - 1], ids=["at", "a byte into", "amid", "a byte before the end of"])
def test_an_archive_that_is_cut_at_or_in_a_header_is_refused(path, headers, number, into):
    cut(path, headers[number] + into)
    with pytest.raises(DatasetError, match=f"is cut off.*{number} files, the last {names(5)[number - 1]}") as caught:
        TarImages(path)
    assert caught.value.where == str(path)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("into", [BLOCK, BLOCK + 1, 2 * BLOCK])
def test_an_archive_that_is_cut_in_its_data_is_refused(path, headers, number, into):
    cut(path, headers[number] + into)
    with pytest.raises(DatasetError, match=r"archive cannot be read|is cut off"):
        TarImages(path)


def test_a_cut_at_any_byte_is_refused(path, headers):
    whole = path.read_bytes()
    for place in range(1, headers[-1] + BLOCK, 97):
        path.write_bytes(whole[:place])
        with pytest.raises(DatasetError):
            TarImages(path)


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("byte", [0, 124, 148, 156, 257, 511])
def test_a_damaged_header_is_refused(path, headers, number, byte):
    damaged = bytearray(path.read_bytes())
    damaged[headers[number] + byte] ^= 0x15
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"header of an archive is damaged|archive cannot be read") as caught:
        TarImages(path)
    if number:
        assert f"{number} files, the last {names(5)[number - 1]}" in caught.value.got
        assert f"at byte {headers[number]}" in caught.value.got


def test_a_header_of_zeros_is_no_end(path, headers):
    """So a file looks that was never fetched to its end, and whose place was kept."""
    damaged = bytearray(path.read_bytes())
    damaged[headers[2] : headers[2] + 2 * BLOCK] = bytes(2 * BLOCK)
    path.write_bytes(damaged)
    with pytest.raises(DatasetError, match=r"more behind its end.*2 files"):
        TarImages(path)


def test_zeros_behind_the_end_are_taken(path, contents):
    path.write_bytes(path.read_bytes() + bytes(3 * 2**20))
    assert len(TarImages(path).files) == len(contents)


def test_an_archive_behind_an_archive_is_refused(path):
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(DatasetError, match="more behind its end"):
        TarImages(path)


def test_two_files_of_one_name_are_refused(tmp_path, contents):
    first, second = list(contents.values())[:2]
    path = write_tar(tmp_path / "twice.tar", [("a.JPEG", first), ("./a.JPEG", second)])
    with pytest.raises(DatasetError, match=r"two files of an archive have one name.*a\.JPEG"):
        TarImages(path)


def test_names_that_begin_with_the_folder_itself_are_found(tmp_path, contents):
    path = write_tar(tmp_path / "dotted.tar", {f"./{name}": content for name, content in contents.items()})
    archive = TarImages(path)
    assert [file.name for file in archive.files] == names(5)
    assert read_member(path, found(archive, names(5)[1])).size == (41, 30)


@pytest.mark.parametrize(
    "content",
    [b"", b"no archive" * 100, gzip.compress(bytes(2048))],
    ids=["empty", "text", "compressed zeros"],
)
def test_what_is_no_archive_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"archive cannot be read.*no file"):
        TarImages(path)


def test_an_archive_without_files_has_none(tmp_path):
    archive = TarImages(write_tar(tmp_path / "empty.tar", {}))
    assert (list(archive.files), archive.find(["a.png"])) == ([], [None])
