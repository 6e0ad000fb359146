"""Files of the hub come from one commit, which is told, and a lost network is told within seconds."""

from __future__ import annotations

import hashlib
import socket
import time

import pytest
from tests.fetch.serving import serving

from bytemlperf.errors import ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import hub_files
from bytemlperf.spec import Source

REPOSITORY = "somebody/model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"model.safetensors": b"weights" * 100, "config/config.json": b"{}"}


def _source(**changes):
    facts = {"kind": "hub", "location": REPOSITORY, "files": tuple(FILES), **changes}
    return Source(**facts)


@pytest.fixture(autouse=True)
def _online(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    # The hub's library reads the variable once, when it is first imported, which another test may have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@pytest.fixture
def hub():
    """A hub whose branch main is at COMMIT."""
    with serving() as site:
        for revision in ("main", COMMIT):
            for name, body in FILES.items():
                etag = hashlib.sha256(body).hexdigest()
                headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'}
                site.put(f"/{REPOSITORY}/resolve/{revision}/{name}", body, headers=headers)
        yield site


def _nowhere():
    """A URL on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_files_come_with_the_commit_that_they_are_of(hub, tmp_path):
    found = hub_files(_source(), folder=tmp_path, endpoint=hub.url)
    assert found.origin == f"{REPOSITORY}@{COMMIT}"
    assert {name: path.read_bytes() for name, path in found.files.items()} == FILES
    assert found.sha256 == {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}


def test_every_further_file_is_asked_of_the_first_ones_commit(hub, tmp_path):
    hub_files(_source(), folder=tmp_path, endpoint=hub.url)
    asked = [path for _, path in hub.requests if "config" in path]
    assert asked
    assert all(COMMIT in path for path in asked)


def test_a_pinned_commit_that_is_there_needs_no_network(hub, tmp_path):
    first = hub_files(_source(revision=COMMIT), folder=tmp_path, endpoint=hub.url)
    assert hub_files(_source(revision=COMMIT), folder=tmp_path, endpoint=_nowhere()) == first


def test_without_a_network_what_was_fetched_before_is_used(hub, tmp_path):
    first = hub_files(_source(), folder=tmp_path, endpoint=hub.url)
    assert hub_files(_source(), folder=tmp_path, endpoint=_nowhere()) == first


def test_offline_the_network_is_left_alone(hub, tmp_path, monkeypatch):
    first = hub_files(_source(), folder=tmp_path, endpoint=hub.url)
    asked = len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub_files(_source(), folder=tmp_path, endpoint=hub.url) == first
    assert len(hub.requests) == asked


def test_offline_and_never_fetched_is_told(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="HF_HUB_OFFLINE is set") as caught:
        hub_files(_source(), folder=tmp_path, endpoint=hub.url)
    assert caught.value.where == f"{REPOSITORY}@main/model.safetensors"
    assert hub.requests == []


def test_an_unreachable_hub_is_told_at_once(tmp_path):
    start = time.monotonic()
    with pytest.raises(WeightsUnavailableError, match=r"somebody/model@main/model\.safetensors"):
        hub_files(_source(), folder=tmp_path, endpoint=_nowhere())
    assert time.monotonic() - start < 5


def test_a_hub_that_says_nothing_is_left_within_the_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(WeightsUnavailableError, match=r"[Tt]ime"):
            hub_files(_source(), folder=tmp_path, endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
    assert time.monotonic() - start < 5


def test_a_file_that_the_repository_lacks_is_told(hub, tmp_path):
    with pytest.raises(WeightsUnavailableError, match="404"):
        hub_files(_source(files=("none.bin",)), folder=tmp_path, endpoint=hub.url)


def test_a_malformed_repository_is_told(tmp_path):
    with pytest.raises(WeightsUnavailableError, match="HFValidationError"):
        hub_files(_source(location="a/b/c"), folder=tmp_path, endpoint=_nowhere())


def test_a_file_that_is_not_the_pinned_one_is_refused(hub, tmp_path):
    with pytest.raises(ChecksumError, match=r"model\.safetensors is not the file"):
        hub_files(_source(sha256={"model.safetensors": "0" * 64}), folder=tmp_path, endpoint=hub.url)


def test_a_source_without_files_is_refused(tmp_path):
    with pytest.raises(SpecError, match="names no files"):
        hub_files(_source(files=()), folder=tmp_path)
