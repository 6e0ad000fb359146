"""Files at a URL come whole, are what was pinned, and come once."""

from __future__ import annotations

import hashlib
import socket
import time

import pytest
from tests.fetch.serving import serving

from bytemlperf.errors import ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import url_file, url_folder
from bytemlperf.fetch.url import file_name, shown

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


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
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def test_a_file_that_the_server_lacks_is_told(site, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="404"):
        url_file(f"{site.url}/models/none", sha256=SHA256, cache=tmp_path)


def test_a_file_that_comes_in_part_is_refused(site, tmp_path):
    site.put("/half", CONTENT, headers={"Content-Length": str(2 * len(CONTENT))})
    with pytest.raises(WeightsUnavailableError, match=r"only in part|IncompleteRead|more expected"):
        url_file(f"{site.url}/half", sha256=SHA256, cache=tmp_path)


def test_a_redirect_to_another_kind_of_url_is_refused(site, tmp_path):
    site.put("/away", b"", status=302, headers={"Location": "ftp://127.0.0.1/x"})
    with pytest.raises((SpecError, WeightsUnavailableError)):
        url_file(f"{site.url}/away", sha256=SHA256, cache=tmp_path)


def test_a_redirect_on_the_same_server_is_followed(site, tmp_path):
    site.put("/moved", b"", status=302, headers={"Location": "/models/x.safetensors"})
    assert url_file(f"{site.url}/moved", sha256=SHA256, cache=tmp_path).sha256 == SHA256


def test_a_server_that_says_nothing_is_left_within_the_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(WeightsUnavailableError, match="timed out"):
            url_file(f"http://127.0.0.1:{silent.getsockname()[1]}/x", sha256=SHA256, cache=tmp_path, timeout_s=0.2)
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
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    with pytest.raises(SpecError, match="leads out of its folder"):
        url_folder("https://host/models", (name,), sha256={}, cache=tmp_path)


def test_every_file_over_plain_http_must_be_pinned(tmp_path):
    with pytest.raises(SpecError, match="http: with a sha256"):
        url_folder("http://host/models", ("x", "y"), sha256={"x": SHA256}, cache=tmp_path)
