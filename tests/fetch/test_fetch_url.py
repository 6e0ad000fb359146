"""Files at a URL come whole, are what was pinned, and come once."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
import time

import pytest
from tests.fetch.serving import serving

from bytemlperf.errors import ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import Patience, Transfer, clear, items, split_pin, url_file, url_folder
from bytemlperf.fetch.download import file_name, shown

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
AT_ONCE = Transfer(patience=Patience(sleep=lambda seconds: None))


def resumable(site, path, content, *, cut, etag='"one"'):
    """Serve a file whose transfer breaks off after `cut` bytes each time; return the ranges that are asked for."""
    ranges = []

    def answer(headers):
        wanted = headers.get("Range")
        same = headers.get("If-Range") == etag
        ranges.append(wanted if same else None)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and same else 0
        rest = content[start:]
        told = {"ETag": etag, "Content-Length": str(len(rest)), "Connection": "close"}
        return (206 if start else 200), told, rest[:cut]

    site.answers[path] = answer
    return ranges


@pytest.fixture
def site():
    with serving() as site:
        site.put("/models/x.safetensors", CONTENT)
        yield site


def test_a_file_comes_once(site, tmp_path):
    url = f"{site.url}/models/x.safetensors"
    first = url_file(url, sha256=SHA256, cache=tmp_path)
    assert url_file(url, sha256=SHA256, cache=tmp_path) == first
    assert first.path.read_bytes() == CONTENT
    assert first.path.name == "x.safetensors"
    assert first.sha256 == SHA256
    assert len(site.requests) == 1


def test_a_pin_in_capitals_is_the_same_pin(site, tmp_path):
    assert url_file(f"{site.url}/models/x.safetensors", sha256=SHA256.upper(), cache=tmp_path).sha256 == SHA256


def test_another_file_than_the_pinned_is_refused_and_not_kept(site, tmp_path):
    url = f"{site.url}/models/x.safetensors"
    with pytest.raises(ChecksumError, match=r"x\.safetensors is not the file that was pinned") as caught:
        url_file(url, sha256="0" * 64, cache=tmp_path)
    assert caught.value.got == SHA256
    assert caught.value.expected == "0" * 64
    assert [each.kind for each in items(tmp_path)] == ["quarantine"]
    assert clear(tmp_path, kinds=["quarantine"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_file_that_the_server_lacks_is_told(site, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="404"):
        url_file(f"{site.url}/models/none", sha256=SHA256, cache=tmp_path)


def test_a_file_that_comes_in_part_is_refused(site, tmp_path):
    site.put("/half", CONTENT, headers={"Content-Length": str(2 * len(CONTENT))})
    with pytest.raises(WeightsUnavailableError, match=r"only in part|IncompleteRead|more expected"):
        url_file(f"{site.url}/half", sha256=SHA256, cache=tmp_path, transfer=AT_ONCE)


def test_a_redirect_to_another_kind_of_url_is_refused(site, tmp_path):
    site.put("/away", b"", status=302, headers={"Location": "ftp://127.0.0.1/x"})
    with pytest.raises((SpecError, WeightsUnavailableError)):
        url_file(f"{site.url}/away", sha256=SHA256, cache=tmp_path)


def test_a_redirect_on_the_same_server_is_followed(site, tmp_path):
    site.put("/moved", b"", status=302, headers={"Location": "/models/x.safetensors"})
    assert url_file(f"{site.url}/moved", sha256=SHA256, cache=tmp_path).sha256 == SHA256


def test_a_server_that_says_nothing_is_left_within_the_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start, quick = time.monotonic(), Transfer(timeout_s=0.2)
        with pytest.raises(WeightsUnavailableError, match="timed out"):
            url_file(f"http://127.0.0.1:{silent.getsockname()[1]}/x", sha256=SHA256, cache=tmp_path, transfer=quick)
    assert time.monotonic() - start < 5


def test_a_server_that_is_not_there_is_told(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(WeightsUnavailableError, match="refused"):
        url_file(f"http://127.0.0.1:{port}/x", sha256=SHA256, cache=tmp_path)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "ftp://127.0.0.1/x", "x.bin", "data:,x"])
def test_other_kinds_of_url_are_refused(tmp_path, url):
    with pytest.raises(SpecError, match="https: or file:"):
        url_file(url, cache=tmp_path)


def test_a_mirror_in_the_file_system_is_copied(tmp_path):
    mirror = tmp_path / "mirror of models" / "x.bin"
    mirror.parent.mkdir()
    mirror.write_bytes(CONTENT)
    found = url_file(mirror.as_uri(), sha256=SHA256, cache=tmp_path / "cache")
    mirror.unlink()
    assert url_file(mirror.as_uri(), sha256=SHA256, cache=tmp_path / "cache") == found
    assert found.path.read_bytes() == CONTENT


def test_an_unpinned_local_file_that_changes_is_read_anew(tmp_path):
    mirror = tmp_path / "x.bin"
    mirror.write_bytes(b"one")
    assert url_file(mirror.as_uri(), cache=tmp_path / "cache").path.read_bytes() == b"one"
    mirror.write_bytes(b"two")
    assert url_file(mirror.as_uri(), cache=tmp_path / "cache").path.read_bytes() == b"two"


def test_a_mirror_that_is_not_there_is_told(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="No such file"):
        url_file((tmp_path / "none.bin").as_uri(), cache=tmp_path)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://host/a/b.safetensors?download=true", "b.safetensors"),
        ("https://host/a/my%20model.pt", "my_model.pt"),
        ("https://host/a/..", "file"),
        ("https://host/a/.entry.json", "entry.json"),
        ("https://host", "file"),
        ("https://host/a/%2e%2e%2fetc", "etc"),
    ],
)
def test_the_name_of_a_file_is_a_plain_one(url, name):
    assert file_name(url) == name


def test_what_is_shown_of_a_url_holds_no_secret():
    assert shown("https://me:secret@host:8/a/b?token=1#x") == "https://host:8/a/b"


def test_what_is_shown_of_a_local_file_is_its_name():
    assert shown("file:///home/me/models/x.bin") == "x.bin"


def test_several_files_come_into_one_folder(site, tmp_path):
    site.put("/models/config/my config.json", b"{}")
    site.answers["/models/config/my%20config.json"] = site.answers.pop("/models/config/my config.json")
    names = ("x.safetensors", "config/my config.json")
    pins = {"x.safetensors": SHA256, "config/my config.json": hashlib.sha256(b"{}").hexdigest()}
    entry = url_folder(f"{site.url}/models/", names, sha256=pins, cache=tmp_path)
    assert url_folder(f"{site.url}/models/", names, sha256=pins, cache=tmp_path) == entry
    assert {name: (entry.path / name).read_bytes() for name in names} == {names[0]: CONTENT, names[1]: b"{}"}
    assert len(site.requests) == 2


def test_a_folder_is_kept_only_if_every_file_is_the_pinned_one(site, tmp_path):
    site.put("/models/y", b"other")
    pins = {"x.safetensors": SHA256, "y": "0" * 64}
    with pytest.raises(ChecksumError, match="y is not the file that was pinned"):
        url_folder(f"{site.url}/models", tuple(pins), sha256=pins, cache=tmp_path)
    assert [each.kind for each in items(tmp_path)] == ["quarantine"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    with pytest.raises(SpecError, match="leads out of its folder"):
        url_folder("https://host/models", (name,), sha256={}, cache=tmp_path)


def test_every_file_over_plain_http_must_be_pinned(tmp_path):
    with pytest.raises(SpecError, match="http: with a sha256"):
        url_folder("http://host/models", ("x", "y"), sha256={"x": SHA256}, cache=tmp_path)


def test_a_transfer_that_breaks_off_is_resumed(site, tmp_path):
    ranges = resumable(site, "/big", CONTENT, cut=3000)
    assert url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=AT_ONCE).sha256 == SHA256
    assert ranges == [None, "bytes=3000-", "bytes=6000-"]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(site, tmp_path):
    ranges = resumable(site, "/big", CONTENT, cut=4000)
    once = Transfer(patience=Patience(tries=1))
    with pytest.raises(WeightsUnavailableError, match="only in part"):
        url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=once)
    assert [(each.kind, each.size_bytes) for each in items(tmp_path)] == [("partial", 4000)]
    assert url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=once).sha256 == SHA256
    assert ranges == [None, "bytes=4000-"]
    assert [each.kind for each in items(tmp_path)] == ["files"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(site, tmp_path):
    once = Transfer(patience=Patience(tries=1))
    resumable(site, "/big", b"old" * 3000, cut=4000, etag='"old"')
    with pytest.raises(WeightsUnavailableError):
        url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=once)
    resumable(site, "/big", CONTENT, cut=None, etag='"new"')
    assert url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=once).sha256 == SHA256


def test_without_a_name_of_its_state_a_file_is_fetched_from_its_start(site, tmp_path):
    site.put("/big", CONTENT[:4000], headers={"Content-Length": str(len(CONTENT)), "Connection": "close"})
    with pytest.raises(WeightsUnavailableError):
        url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path, transfer=AT_ONCE)
    site.put("/big", CONTENT)
    assert url_file(f"{site.url}/big", sha256=SHA256, cache=tmp_path).sha256 == SHA256


@pytest.mark.parametrize(("status", "tries"), [(429, 3), (500, 3), (503, 3), (404, 1), (403, 1)])
def test_what_passes_is_tried_again_and_what_does_not_is_not(site, tmp_path, status, tries):
    site.put("/busy", b"", status=status, headers={"Retry-After": "2"})
    waits = []
    with pytest.raises(WeightsUnavailableError, match=str(status)):
        url_file(
            f"{site.url}/busy",
            sha256=SHA256,
            cache=tmp_path,
            transfer=Transfer(patience=Patience(tries=3, sleep=waits.append)),
        )
    assert len(site.requests) == tries
    assert waits == [2.0] * (tries - 1)


def test_a_file_that_does_not_fit_on_the_disk_is_not_begun(site, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="no room"):
        url_file(
            f"{site.url}/models/x.safetensors",
            sha256=SHA256,
            cache=tmp_path,
            transfer=Transfer(free_bytes=lambda folder: 7000),
        )
    assert url_file(f"{site.url}/models/x.safetensors", sha256=SHA256, cache=tmp_path).sha256 == SHA256


def test_a_file_that_is_too_large_is_refused(site, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="larger than it may be"):
        url_file(f"{site.url}/models/x.safetensors", sha256=SHA256, cache=tmp_path, most_bytes=6999)


LIMITED = """
import resource, signal, sys
from pathlib import Path
from bytemlperf.errors import ArtifactError
from bytemlperf.fetch import url_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    url_file(sys.argv[1], sha256=sys.argv[2], cache=Path(sys.argv[3]))
except ArtifactError as error:
    print(error)
"""


def test_a_disk_that_fills_up_while_a_file_comes_is_told_as_such(site, tmp_path):
    body = bytes(10_000)
    site.put("/x.bin", body)
    pin = hashlib.sha256(body).hexdigest()
    command = [sys.executable, "-c", LIMITED, f"{site.url}/x.bin", pin, str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "an entry of the cache cannot be written" in told
    assert "make room" in told
    assert url_file(f"{site.url}/x.bin", sha256=pin, cache=tmp_path).path.read_bytes() == body


def test_a_pin_of_none_of_the_files_is_refused(tmp_path):
    with pytest.raises(SpecError, match=r"did you mean 'x\.bin'"):
        url_folder("https://host/x", ("x.bin",), sha256={"x.bim": "0" * 64}, cache=tmp_path)


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_a_mirror_is_asked_first(site, tmp_path, monkeypatch, by):
    site.put("/zoo/dead.example/models/x.safetensors", CONTENT)
    mirror = f"{site.url}/zoo/"
    if by == "environment":
        monkeypatch.setenv("BYTEMLPERF_MIRROR", mirror)
    transfer = Transfer(mirror=mirror) if by == "argument" else Transfer()
    found = url_file("https://dead.example/models/x.safetensors", sha256=SHA256, cache=tmp_path, transfer=transfer)
    assert found.path.read_bytes() == CONTENT


def test_a_mirror_may_be_a_folder(tmp_path):
    (tmp_path / "zoo" / "dead.example").mkdir(parents=True)
    (tmp_path / "zoo" / "dead.example" / "x.bin").write_bytes(CONTENT)
    transfer = Transfer(mirror=(tmp_path / "zoo").as_uri())
    found = url_file("https://dead.example/x.bin", sha256=SHA256, cache=tmp_path / "c", transfer=transfer)
    assert found.sha256 == SHA256


def test_where_the_mirror_lacks_it_the_file_comes_from_its_own_place(site, tmp_path):
    transfer = Transfer(mirror=f"{site.url}/zoo")
    url = f"{site.url}/models/x.safetensors"
    assert url_file(url, sha256=SHA256, cache=tmp_path, transfer=transfer).sha256 == SHA256
    assert len(site.requests) == 2


def test_what_was_tried_is_told_of_both_places(site, tmp_path):
    transfer = Transfer(mirror=f"{site.url}/zoo")
    with pytest.raises(WeightsUnavailableError, match="BYTEMLPERF_MIRROR") as caught:
        url_file(f"{site.url}/none", sha256=SHA256, cache=tmp_path, transfer=transfer)
    assert caught.value.got.count("404") == 2
    assert "/zoo/127.0.0.1" in caught.value.got


def test_a_mirror_is_held_to_the_pin(site, tmp_path):
    site.put(f"/zoo/{site.url[7:]}/none", b"something else")
    transfer = Transfer(mirror=f"{site.url}/zoo")
    with pytest.raises(WeightsUnavailableError, match="not the file that was pinned") as caught:
        url_file(f"{site.url}/none", sha256=SHA256, cache=tmp_path, transfer=transfer)
    assert "404" in caught.value.got
    assert [each.kind for each in items(tmp_path)] == ["quarantine"]


def test_progress_is_told(site, tmp_path):
    told = []
    url = f"{site.url}/models/x.safetensors"
    url_file(url, sha256=SHA256, cache=tmp_path, transfer=Transfer(on_progress=told.append))
    assert (told[-1].name, told[-1].done_bytes, told[-1].total_bytes) == ("x.safetensors", 7000, 7000)


def test_a_digest_is_taken_off_a_url():
    assert split_pin(f"https://host/x.onnx#sha256={SHA256.upper()}") == ("https://host/x.onnx", SHA256)
    assert split_pin("https://host/x.onnx") == ("https://host/x.onnx", None)
    with pytest.raises(SpecError, match="sha256= and 64"):
        split_pin("https://host/x.onnx#sha256=12")
