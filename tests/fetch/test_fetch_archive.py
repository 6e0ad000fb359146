"""Archives are unpacked whole and inside their folder, or not at all."""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zipfile

import pytest

from bytemlperf.errors import ArtifactError, ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import Bounds, Transfer, archive_folder, files_of, items, unpack
from bytemlperf.spec import Source

FILES = {"model/model.onnx": b"graph" * 100, "model/sub/data.bin": b"weights" * 50, "readme": b""}
ZIPPED = {
    "zip": zipfile.ZIP_DEFLATED,
    "zip-bzip2": zipfile.ZIP_BZIP2,
    "zip-lzma": zipfile.ZIP_LZMA,
    "zip-stored": zipfile.ZIP_STORED,
}
KINDS = ("tar", "tar.gz", "tgz", "tar.bz2", "tar.xz", *ZIPPED)
TINY = Bounds(free_below_bytes=1 << 16)


def tar_of(path, members):
    """Write a tar of (TarInfo, content) pairs; compressed as the name says."""
    kind = {".gz": "gz", ".tgz": "gz", ".bz2": "bz2", ".xz": "xz"}.get(path.suffix, "")
    with tarfile.open(path, f"w:{kind}") as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def member(name, kind=tarfile.REGTYPE, **fields):
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def archive_of(folder, kind, files):
    """Write an archive; a zip is compressed as its kind says after a dash."""
    path = folder / f"x.{kind.partition('-')[0]}"
    if not kind.startswith("zip"):
        return tar_of(path, [(member(name), content) for name, content in files.items()])
    with zipfile.ZipFile(path, "w", ZIPPED[kind]) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def zip_of(folder, name, content=b"x", mode=0o100644):
    info = zipfile.ZipInfo(name)
    info.filename = name  # ZipInfo mends what it is given
    info.external_attr = mode << 16
    with zipfile.ZipFile(folder / "x.zip", "w") as zipped:
        zipped.writestr(info, content)
    return folder / "x.zip"


def _all_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _refused(archive, tmp_path, match, **options):
    """The archive is refused, and nothing is written, inside the folder or outside."""
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArtifactError, match=match) as caught:
        unpack(archive, tmp_path / "out", **options)
    assert sorted(tmp_path.rglob("*")) == before
    assert caught.value.where == archive.name


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_unpacked(tmp_path, kind):
    unpack(archive_of(tmp_path, kind, FILES), tmp_path / "out")
    assert _all_below(tmp_path / "out") == FILES


def test_owners_and_permissions_are_plain(tmp_path):
    archive = tar_of(
        tmp_path / "x.tar", [(member("run", mode=0o6777, uid=0), b"x"), (member("./d", tarfile.DIRTYPE), b"")]
    )
    unpack(archive, tmp_path / "out")
    assert (tmp_path / "out" / "run").stat().st_mode & 0o7111 == 0
    assert (tmp_path / "out" / "d").is_dir()


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "..", "a/..", "C:/x", "a\\..\\..\\x", "a\nb", "n" * 1100]
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, kind):
    make = {"tar": lambda: tar_of(tmp_path / "x.tar", [(member(name), b"x")]), "zip": lambda: zip_of(tmp_path, name)}
    _refused(make[kind](), tmp_path, "the archive holds a")


@pytest.mark.parametrize(
    ("info", "what"),
    [
        (member("l", tarfile.SYMTYPE, linkname="/etc/passwd"), "a link"),
        (member("l", tarfile.SYMTYPE, linkname="readme"), "a link"),
        (member("l", tarfile.LNKTYPE, linkname="../x"), "a link"),
        (member("d", tarfile.CHRTYPE, devmajor=1, devminor=3), "a device"),
        (member("d", tarfile.BLKTYPE), "a device"),
        (member("p", tarfile.FIFOTYPE), "a device or pipe"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, info, what):
    _refused(tar_of(tmp_path / "x.tar", [(member("readme"), b"x"), (info, b"")]), tmp_path, what)


@pytest.mark.parametrize(
    ("mode", "what"), [(0o120777, "a link"), (0o020666, "a device"), (0o010666, "a device or pipe")]
)
def test_links_and_devices_in_a_zip_are_refused(tmp_path, mode, what):
    _refused(zip_of(tmp_path, "x", b"/etc/passwd", mode), tmp_path, what)


@pytest.mark.parametrize(
    "names",
    [("Model", "model"), ("a/x", "A/y"), ("e\u0301", "\u00e9"), ("x", "x"), ("a", "a/b"), ("a/b", "a"), ("./x", "x")],
)
@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_names_for_one_place_are_refused(tmp_path, names, kind):
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as zipped:
            for name in names:
                zipped.writestr(name, b"x")
        archive = tmp_path / "x.zip"
    else:
        archive = tar_of(tmp_path / "x.tar", [(member(name), b"x") for name in names])
    _refused(archive, tmp_path, "two names for one place")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "zip"])
def test_a_bomb_is_refused_by_its_ratio(tmp_path, kind):
    archive = archive_of(tmp_path, kind, {"zeros": bytes(20 << 20)})
    assert archive.stat().st_size < 1 << 20
    _refused(archive, tmp_path, "more than it may|cannot be read", bounds=TINY)


def test_what_is_large_as_a_whole_is_refused(tmp_path):
    archive = archive_of(tmp_path, "tar", {"a": bytes(600), "b": bytes(600)})
    _refused(archive, tmp_path, "more than it may", bounds=Bounds(total_bytes=1000))


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_is_written(tmp_path):
    archive = archive_of(tmp_path, "zip", {"zeros": bytes(8 << 20)})
    raw = archive.read_bytes().replace((8 << 20).to_bytes(4, "little"), (100).to_bytes(4, "little"))
    archive.write_bytes(raw)
    _refused(archive, tmp_path, "more than it may|cannot be read|ends early", bounds=TINY)


def test_a_header_as_large_as_memory_is_refused(tmp_path):
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 100 << 20
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(header.tobuf())
        file.write(bytes(1 << 20))
    _refused(tmp_path / "x.tar.gz", tmp_path, "cannot be read")


def test_too_many_members_are_refused(tmp_path):
    archive = tar_of(tmp_path / "x.tar", [(member(f"{each}"), b"") for each in range(20)])
    _refused(archive, tmp_path, "too many members", bounds=Bounds(members=19))


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_refused(tmp_path, kind):
    archive = archive_of(
        tmp_path, kind, {"noise": b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250)) * 9}
    )
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    _refused(archive, tmp_path, "cannot be read|ends early")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_unpacked_whole_or_refused(tmp_path, kind):
    """One byte flipped, all over the archive: what cannot be noticed is a tar's plain content, which has no sum."""
    noise = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(40))
    contents = {"noise": noise, "more/zeros": bytes(500)}
    archive = archive_of(tmp_path, kind, contents)
    whole, tried, refused, unnoticed = archive.read_bytes(), 0, 0, 0
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        archive.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            unpack(archive, tmp_path / "out")
        except ArtifactError:
            refused += not (tmp_path / "out").exists()
        else:
            unnoticed += _all_below(tmp_path / "out") != contents
            shutil.rmtree(tmp_path / "out")
        tried += 1
    assert refused > (4 if kind == "tar" else 0.9 * tried)
    assert unnoticed < (tried if kind == "tar" else tried / 50)


def test_a_folder_that_cannot_be_written_is_no_damage_of_the_archive(tmp_path):
    archive = archive_of(tmp_path, "tar.bz2", {"x": bytes(100)})
    with pytest.raises(FileNotFoundError):
        unpack(archive, tmp_path / "none" / "out", transfer=Transfer(free_bytes=lambda folder: 1 << 40))


def test_what_is_no_archive_is_refused(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"no archive at all" * 100)
    _refused(tmp_path / "x.tar", tmp_path, "cannot be read")


def test_an_encrypted_zip_is_refused(tmp_path):
    archive = archive_of(tmp_path, "zip", {"x": b"secret"})
    raw = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        raw[raw.index(signature) + offset] |= 1
    archive.write_bytes(raw)
    _refused(archive, tmp_path, "encrypted")


def test_an_archive_that_does_not_fit_on_the_disk_is_not_begun(tmp_path):
    archive = archive_of(tmp_path, "tar", {"x": bytes(100)})
    with pytest.raises(WeightsUnavailableError, match="no room"):
        unpack(archive, tmp_path / "out", transfer=Transfer(free_bytes=lambda folder: 100))
    assert not (tmp_path / "out").exists()


def _source(archive, **changes):
    pin = hashlib.sha256(archive.read_bytes()).hexdigest()
    return Source(**{"kind": "archive", "location": archive.as_uri(), "sha256": {archive.name: pin}, **changes})


def test_a_source_in_an_archive_is_its_files(tmp_path):
    source = _source(archive_of(tmp_path, "tar.gz", FILES), files=("model/model.onnx",))
    found = files_of(source, cache=tmp_path / "cache")
    assert {name: path.read_bytes() for name, path in found.files.items()} == {"model/model.onnx": b"graph" * 100}
    assert found.origin.startswith("x.tar.gz#sha256=")
    assert files_of(source, cache=tmp_path / "cache") == found


def test_without_names_a_source_in_an_archive_is_all_its_files(tmp_path):
    found = files_of(_source(archive_of(tmp_path, "zip", FILES)), cache=tmp_path / "cache")
    assert set(found.files) == set(FILES)


def test_a_file_that_the_archive_lacks_is_told(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="does not hold"):
        files_of(_source(archive_of(tmp_path, "tar", FILES), files=("none",)), cache=tmp_path / "cache")


def test_an_archive_that_is_not_the_pinned_one_is_not_unpacked(tmp_path):
    archive = archive_of(tmp_path, "tar", FILES)
    with pytest.raises(ChecksumError):
        files_of(_source(archive, sha256={"x.tar": "0" * 64}), cache=tmp_path / "cache")
    assert [each.kind for each in items(tmp_path / "cache")] == ["quarantine"]


def test_a_refused_archive_leaves_no_entry(tmp_path):
    archive = tar_of(tmp_path / "x.tar", [(member("good"), b"x"), (member("../evil"), b"x")])
    with pytest.raises(ArtifactError, match="leads out"):
        files_of(_source(archive), cache=tmp_path / "cache")
    assert [each.kind for each in items(tmp_path / "cache")] == ["files"]
    assert not list((tmp_path / "cache").rglob("good"))
    assert not list(tmp_path.rglob("evil"))


def test_a_remote_archive_must_be_pinned(tmp_path):
    with pytest.raises(SpecError, match="digest is known"):
        archive_folder("https://host/x.tar", sha256=None, cache=tmp_path)


def test_what_is_no_archive_by_its_name_is_refused(tmp_path):
    with pytest.raises(SpecError, match="no archive"):
        archive_folder("https://host/x.rar", sha256="0" * 64, cache=tmp_path)
