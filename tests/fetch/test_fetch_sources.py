"""A source of any kind becomes files on this machine."""

from __future__ import annotations

import hashlib
import importlib
import sys

import pytest

from bytemlperf.errors import ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import Fetched, files_of, package_file
from bytemlperf.spec import Source

BODY = b"shipped"
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package with a file of weights."""
    name = "shipping_for_test_fetch_sources"
    folder = tmp_path / "site" / name
    (folder / "weights").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "weights" / "x.bin").write_bytes(BODY)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    importlib.invalidate_caches()
    yield name
    sys.modules.pop(name, None)


def test_a_file_of_a_package_is_found(package, tmp_path):
    assert package_file(f"{package}:weights/x.bin") == tmp_path / "site" / package / "weights" / "x.bin"


@pytest.mark.parametrize("location", ["x.bin", ":x.bin", "{}:", "{}:../x.bin", "{}:weights/../../x", "{}:/etc/passwd"])
def test_a_malformed_location_is_refused(package, location):
    with pytest.raises(SpecError, match="package:path"):
        package_file(location.format(package))


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(WeightsUnavailableError, match="'no_such_package_here'"):
        package_file("no_such_package_here:x.bin")


def test_a_file_that_the_package_lacks_is_named(package):
    with pytest.raises(WeightsUnavailableError, match=r"weights/none\.bin"):
        package_file(f"{package}:weights/none.bin")


def test_a_module_that_is_no_package_is_refused():
    with pytest.raises(WeightsUnavailableError, match="bisect"):
        package_file("bisect:x.bin")


def test_a_source_in_a_package_is_a_file(package):
    location = f"{package}:weights/x.bin"
    found = files_of(Source(kind="package", location=location, sha256={"x.bin": SHA256}))
    assert found == Fetched(origin=location, files={"x.bin": package_file(location)}, sha256={"x.bin": SHA256})


def test_a_source_in_a_package_may_be_several_files(package):
    found = files_of(Source(kind="package", location=f"{package}:weights", files=("x.bin",)))
    assert found.files == {"x.bin": package_file(f"{package}:weights/x.bin")}


def test_a_packages_file_that_is_not_the_pinned_one_is_refused(package):
    with pytest.raises(ChecksumError, match=r"x\.bin is not the file that was pinned.*reinstall"):
        files_of(Source(kind="package", location=f"{package}:weights/x.bin", sha256={"x.bin": "0" * 64}))


def test_a_source_at_a_url_is_a_file(tmp_path):
    (tmp_path / "x.bin").write_bytes(BODY)
    source = Source(kind="url", location=(tmp_path / "x.bin").as_uri(), sha256={"x.bin": SHA256})
    found = files_of(source, cache=tmp_path / "cache")
    assert found.origin == "x.bin"
    assert found.files["x.bin"].read_bytes() == BODY
    assert found.sha256 == {"x.bin": SHA256}


def test_a_source_at_a_url_may_be_several_files(tmp_path):
    for name in ("x.bin", "y.bin"):
        (tmp_path / name).write_bytes(name.encode())
    found = files_of(Source(kind="url", location=tmp_path.as_uri(), files=("x.bin", "y.bin")), cache=tmp_path / "cache")
    assert {name: path.read_bytes() for name, path in found.files.items()} == {"x.bin": b"x.bin", "y.bin": b"y.bin"}


@pytest.mark.parametrize("kind", ["hub", "url", "package"])
def test_a_digest_of_a_file_that_the_source_lacks_is_refused(kind):
    location = {"hub": "a/b", "url": "file:///tmp", "package": "bytemlperf:zoo"}[kind]
    with pytest.raises(SpecError, match=r"did you mean 'x\.bin'"):
        files_of(Source(kind=kind, location=location, files=("x.bin",), sha256={"x.bim": SHA256}))


@pytest.mark.parametrize("chosen", ["argument", "environment"])
def test_the_hubs_files_lie_in_a_chosen_cache(tmp_path, monkeypatch, chosen):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if chosen == "environment":
        monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    snapshot = tmp_path / "hub" / "models--somebody--model" / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "x.bin").write_bytes(BODY)
    source = Source(kind="hub", location="somebody/model", revision=commit, files=("x.bin",), sha256={"x.bin": SHA256})
    found = files_of(source, cache=tmp_path if chosen == "argument" else None)
    assert found.files == {"x.bin": snapshot / "x.bin"}
    assert found.origin == f"somebody/model@{commit}"
