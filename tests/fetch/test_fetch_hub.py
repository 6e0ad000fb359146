"""Files of the hub come from one commit, whole and right, or not at all: its real client asks a hub on loopback."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from tests.fetch.hub_server import COMMIT, REPOSITORY, serving_hub

from bytemlperf.errors import ArtifactError, ChecksumError, SpecError, WeightsUnavailableError
from bytemlperf.fetch import Patience, Transfer, clear, files_of, hub_files, items, verify
from bytemlperf.spec import Source

WEIGHTS = b"weights" * 1000
FILES = {"model.safetensors": WEIGHTS, "config/config.json": b"{}"}
SHARDS = {f"model-0000{each}-of-00003.safetensors": bytes([each]) * 5000 for each in (1, 2, 3)}
INDEX = json.dumps({"metadata": {}, "weight_map": {f"w{each}": name for each, name in enumerate(SHARDS)}}).encode()
INDEXED = {"files": ("model.safetensors.index.json",)}
TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture(autouse=True)
def _online(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT", "BYTEMLPERF_CACHE"):
        monkeypatch.delenv(name, raising=False)
    # The hub's library reads these once, when it is first imported, which another test may have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)  # what it keeps of a cut transfer
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")


@pytest.fixture
def hub():
    with serving_hub(FILES) as served:
        yield served


@pytest.fixture
def waits():
    """What was waited for between tries, instead of the wait."""
    return []


@pytest.fixture
def fetch(hub, tmp_path, waits):
    """Fetch from the hub into a cache of the test's own."""

    def do(source=None, **changes):
        how = {"endpoint": hub.url, "patience": Patience(sleep=waits.append, tries=3), **changes}
        return hub_files(source or _source(), cache=tmp_path, transfer=Transfer(**how))

    return do


def _source(**changes):
    return Source(**{"kind": "hub", "location": REPOSITORY, "files": tuple(FILES), **changes})


def _one(**changes):
    return _source(files=("model.safetensors",), **changes)


def _nowhere():
    """A URL on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def _content(fetched):
    return {name: path.read_bytes() for name, path in fetched.files.items()}


def _blob(fetched, name="model.safetensors"):
    return fetched.files[name].resolve()


def test_fresh_files_come_with_the_commit_that_they_are_of(fetch):
    found = fetch()
    assert found.origin == f"{REPOSITORY}@{COMMIT}"
    assert _content(found) == FILES
    assert found.sha256 == {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}


def test_every_further_file_is_asked_of_the_first_ones_commit(fetch, hub):
    found = fetch()
    assert all(f"snapshots/{COMMIT}/" in path.as_posix() for path in found.files.values())
    assert hub.asked("GET", "config/config.json")


def test_cached_files_are_not_sent_again(fetch, hub):
    assert fetch() == fetch()
    assert hub.bytes_sent == {name: len(body) for name, body in FILES.items()}


def test_a_pinned_commit_that_is_there_needs_no_network(fetch):
    first = fetch(_source(revision=COMMIT))
    assert fetch(_source(revision=COMMIT), endpoint=_nowhere()) == first


def test_without_a_network_what_was_fetched_before_is_used(fetch):
    assert fetch() == fetch(endpoint=_nowhere())


def test_offline_the_network_is_left_alone(fetch, hub, monkeypatch):
    first, asked = fetch(), len(hub.requests)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetch() == first
    assert len(hub.requests) == asked


def test_offline_and_never_fetched_is_told(fetch, hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="HF_HUB_OFFLINE is set") as caught:
        fetch()
    assert caught.value.where == f"{REPOSITORY}@main/model.safetensors"
    assert "HF_HOME" in caught.value.remedy
    assert hub.requests == []


def test_a_download_that_was_cut_is_resumed_where_it_broke_off(fetch, hub):
    hub.fail("GET", "model.safetensors", ("cut", 3000))
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}
    assert [each[2] for each in hub.asked("GET")] == [None, "bytes=3000-"]
    assert hub.bytes_sent["model.safetensors"] == len(WEIGHTS)


def test_a_truncated_file_is_asked_for_again_and_never_kept(fetch, hub, tmp_path):
    hub.sent["model.safetensors"] = WEIGHTS[:-10]
    with pytest.raises(WeightsUnavailableError, match="tried 3 times"):
        fetch(_one())
    assert not list(tmp_path.glob("hub/**/blobs/*"))
    del hub.sent["model.safetensors"]
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


def test_a_wrong_content_is_set_aside_and_fetched_once_more(fetch, hub, tmp_path):
    hub.sent["model.safetensors"] = bytes(reversed(WEIGHTS))
    with pytest.raises(ChecksumError, match="quarantine") as caught:
        fetch(_one())
    assert caught.value.expected == hashlib.sha256(WEIGHTS).hexdigest()
    assert len(hub.asked("GET")) == 2
    assert [path.read_bytes() for path in tmp_path.glob("quarantine/*/*") if "entry" not in path.name] == [
        bytes(reversed(WEIGHTS))
    ]
    del hub.sent["model.safetensors"]
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


def test_a_small_files_wrong_content_is_noticed_too(fetch, hub):
    hub.sent["config/config.json"] = b"[]"
    with pytest.raises(ChecksumError, match=r"config\.json"):
        fetch()


def test_a_file_that_was_damaged_in_the_cache_is_fetched_anew(fetch, hub):
    first = fetch(_one())
    _blob(first).write_bytes(b"damage!" * 1000)
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


def test_a_damaged_file_is_not_used_offline(fetch, monkeypatch):
    _blob(fetch(_one())).write_bytes(b"damage!" * 1000)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailableError, match="damaged"):
        fetch(_one())


def test_another_file_than_the_sources_pin_is_refused_and_left_to_others(fetch):
    with pytest.raises(ChecksumError, match=r"model\.safetensors is not the file") as caught:
        fetch(_one(sha256={"model.safetensors": "0" * 64}))
    assert caught.value.got == hashlib.sha256(WEIGHTS).hexdigest()
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


def test_the_right_pin_in_capitals_is_the_same_pin(fetch):
    pin = hashlib.sha256(WEIGHTS).hexdigest().upper()
    assert fetch(_one(sha256={"model.safetensors": pin})).sha256["model.safetensors"] == pin.lower()


@pytest.mark.parametrize("named", [("model.safetensors.index.json",), ()])
def test_a_pin_of_a_shard_that_the_index_does_not_name_is_refused_before_any_comes(fetch, hub, named):
    hub.files = {"model.safetensors.index.json": INDEX, **SHARDS}
    with pytest.raises(SpecError, match=r"did you mean 'model-00003-of-00003\.safetensors'"):
        fetch(_source(files=named, sha256={"model-00003-of-00004.safetensors": "0" * 64}))
    assert [each[1] for each in hub.asked("GET")] == ["model.safetensors.index.json"]


def test_a_pin_of_other_weights_than_the_repository_has_is_refused(fetch, hub):
    hub.files = {"pytorch_model.bin": b"old"}
    with pytest.raises(SpecError, match="not among the source's"):
        fetch(_source(files=(), sha256={"model.safetensors": hashlib.sha256(WEIGHTS).hexdigest()}))
    assert hub.asked("GET") == []


def test_a_pinned_shard_is_held_to_its_pin(fetch, hub):
    hub.files = {"model.safetensors.index.json": INDEX, **SHARDS}
    name, body = next(iter(SHARDS.items()))
    right = {name: hashlib.sha256(body).hexdigest()}
    assert _content(fetch(_source(**INDEXED, sha256=right))) == hub.files
    with pytest.raises(ChecksumError, match=name):
        fetch(_source(**INDEXED, sha256={name: "0" * 64}))


@pytest.mark.parametrize(
    ("changes", "got", "remedy"),
    [
        ({"files": ("none.bin",)}, "RemoteEntryNotFoundError", "no such file"),
        ({"revision": "gone"}, "RevisionNotFoundError", "no such commit"),
        ({"location": "nobody/nothing"}, "RepositoryNotFoundError", "HF_TOKEN"),
        ({"location": "a/b/c"}, "HFValidationError", "owner/name"),
    ],
)
def test_what_the_hub_does_not_have_is_told_with_what_helps(fetch, changes, got, remedy):
    with pytest.raises(WeightsUnavailableError, match=remedy) as caught:
        fetch(_source(**changes))
    assert got in caught.value.got


def test_a_gated_repository_says_how_to_get_access_and_no_token(fetch, hub, monkeypatch, caplog):
    hub.token = TOKEN
    with pytest.raises(WeightsUnavailableError, match="ask for access at") as caught:
        fetch(_one())
    assert f"{hub.url}/{REPOSITORY}" in caught.value.remedy
    assert "hf auth login" in caught.value.remedy
    monkeypatch.setenv("HF_TOKEN", "hf_wrongwrongwrong")
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch(_one())
    assert "hf_wrong" not in str(caught.value) + caplog.text
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_access_that_is_refused_without_the_hubs_own_words_is_no_trouble_of_the_network(fetch, hub, method, status):
    hub.fail(method, "model.safetensors", *[status] * 9)
    with pytest.raises(WeightsUnavailableError, match=str(status)) as caught:
        fetch(_one())
    assert "ask for access at" in caught.value.remedy
    assert "HF_TOKEN" in caught.value.remedy
    assert "HF_ENDPOINT" not in caught.value.remedy


def test_who_may_not_have_a_file_any_more_is_not_given_the_old_one(fetch, hub):
    fetch(_one())
    hub.fail("HEAD", "model.safetensors", 403)
    with pytest.raises(WeightsUnavailableError, match="ask for access"):
        fetch(_one())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_hub_that_is_busy_or_fails_is_asked_again(fetch, hub, waits, status):
    hub.fail("HEAD", "model.safetensors", status, status)
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}
    assert waits == [1.0, 2.0]


def test_a_download_that_fails_in_passing_is_asked_for_again(fetch, hub, waits):
    hub.fail("GET", "model.safetensors", 500)
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}
    assert waits == [1.0]


def test_a_download_that_comes_too_soon_is_asked_for_again_by_the_hubs_own_library(fetch, hub, waits):
    hub.fail("GET", "model.safetensors", (429, {"Retry-After": "0"}))
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}
    assert len(hub.asked("GET")) == 2
    assert waits == []


def test_the_hubs_own_wait_is_kept(fetch, hub, waits):
    hub.fail("HEAD", "model.safetensors", (429, {"Retry-After": "7"}))
    fetch(_one())
    assert waits == [7.0]


def test_a_hub_that_wants_to_be_left_for_an_hour_is_left(fetch, hub, waits):
    hub.fail("HEAD", "model.safetensors", (429, {"Retry-After": "3600"}))
    with pytest.raises(WeightsUnavailableError, match="3600 s"):
        fetch(_one())
    assert waits == []


def test_a_hub_that_fails_for_good_is_told_with_the_tries(fetch, hub, waits):
    hub.fail("HEAD", "model.safetensors", *[500] * 9)
    with pytest.raises(WeightsUnavailableError, match=r"500.*tried 3 times"):
        fetch(_one())
    assert waits == [1.0, 2.0]


def test_where_the_hub_fails_what_was_fetched_before_is_used_at_once(fetch, hub, waits):
    first = fetch(_one())
    hub.fail("HEAD", "model.safetensors", 503)
    assert fetch(_one()) == first
    assert waits == []


def test_a_full_disk_is_told_before_anything_comes(fetch, hub):
    with pytest.raises(WeightsUnavailableError, match="no room for model") as caught:
        fetch(_one(), free_bytes=lambda folder: 1000)
    assert "bytemlperf cache list" in caught.value.remedy
    assert hub.asked("GET") == []
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


LIMITED = """
import resource, signal, sys
from pathlib import Path
from bytemlperf.errors import WeightsUnavailableError
from bytemlperf.fetch import Transfer, hub_files
from bytemlperf.spec import Source
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
source = Source(kind="hub", location="somebody/model", files=("model.safetensors",))
try:
    hub_files(source, cache=Path(sys.argv[2]), transfer=Transfer(endpoint=sys.argv[1]))
except WeightsUnavailableError as error:
    print(error)
"""


def _fetched_with_room_for(size, hub, cache):
    """Fetch in a process that can write files of that size at most, as if the disk were full."""
    command = [sys.executable, "-c", LIMITED, hub.url, str(cache), str(size)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_disk_that_fills_up_while_a_file_comes_is_told_as_such(hub, fetch, tmp_path):
    told = _fetched_with_room_for(3000, hub, tmp_path)
    assert "cannot be written" in told
    assert "make room" in told
    assert "HF_ENDPOINT" not in told
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size >= 3000]
    assert _content(fetch(_one())) == {"model.safetensors": WEIGHTS}


@pytest.mark.parametrize("target", ["/sys", "/dev/null"])  # which refuse whoever it is, and are no folder
def test_a_cache_that_cannot_be_written_is_told_as_such(hub, fetch, tmp_path, target):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "models--somebody--model").symlink_to(target)
    with pytest.raises(WeightsUnavailableError, match="cannot be written") as caught:
        fetch(_one())
    assert "choose a folder that can be written to" in caught.value.remedy


def test_room_for_all_shards_is_asked_for_before_the_first(fetch, hub):
    hub.files = {"model.safetensors.index.json": INDEX, **SHARDS}
    spare = 64 << 20
    with pytest.raises(WeightsUnavailableError, match=f"no room for 3 files of {REPOSITORY}") as caught:
        fetch(_source(files=()), free_bytes=lambda folder: spare + 14_999)
    assert caught.value.expected == f"{(spare + 15_000) / 1e6:,.0f} MB"
    assert [each[1] for each in hub.asked("GET")] == ["model.safetensors.index.json"]
    assert len(fetch(_source(files=()), free_bytes=lambda folder: spare + 15_000).files) == 4


def test_shards_come_at_a_time(fetch, hub):
    """The server sends no shard before all three are asked for; of one at a time it would send none."""
    hub.files = {"model.safetensors.index.json": INDEX, **SHARDS}
    hub.meet = dict.fromkeys(SHARDS, threading.Barrier(3, timeout=20))
    assert _content(fetch(_source(files=("model.safetensors.index.json",)))) == hub.files
    assert {name: len(hub.asked("GET", name)) for name in SHARDS} == dict.fromkeys(SHARDS, 1)


def test_what_is_there_needs_no_room(fetch):
    assert fetch(_one()) == fetch(_one(), free_bytes=lambda folder: 0)


def _fetch_from_a_process(url, cache, start, results):
    start.wait(60)
    transfer = Transfer(endpoint=url)
    results.put(hub_files(_one(), cache=cache, transfer=transfer).sha256["model.safetensors"])


def test_two_processes_at_once_download_once(hub, tmp_path):
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(2), context.Queue()
    both = [context.Process(target=_fetch_from_a_process, args=(hub.url, tmp_path, start, results)) for _ in range(2)]
    for process in both:
        process.start()
    digests = {results.get(timeout=60) for _ in both}
    for process in both:
        process.join(60)
    assert digests == {hashlib.sha256(WEIGHTS).hexdigest()}
    assert hub.bytes_sent == {"model.safetensors": len(WEIGHTS)}


def _fetch_shards_from_a_process(url, cache):
    hub_files(_source(**INDEXED), cache=cache, transfer=Transfer(endpoint=url))


def test_of_two_processes_that_fetch_shards_one_is_killed_and_the_other_gets_all(hub, tmp_path):
    """The one dies while it has a shard's lock and half of its content, and the other waits for it."""
    hub.files = {"model.safetensors.index.json": INDEX, **SHARDS}
    slow = next(iter(SHARDS))
    hub.fail("GET", slow, ("stall", 2500))
    context = multiprocessing.get_context("spawn")
    dying, living = (context.Process(target=_fetch_shards_from_a_process, args=(hub.url, tmp_path)) for _ in range(2))
    dying.start()
    assert hub.stalled.wait(60)
    living.start()
    _wait_for(lambda: len(hub.asked("HEAD", slow)) >= 4)  # two of each, so that the other is about to wait
    dying.kill()
    dying.join(60)
    living.join(60)
    hub.going_on.set()
    assert (dying.exitcode, living.exitcode) == (-signal.SIGKILL, 0)
    assert verify(tmp_path) == {}
    asked = len(hub.requests)
    found = hub_files(_source(**INDEXED, revision=COMMIT), cache=tmp_path, transfer=Transfer(endpoint=hub.url))
    assert _content(found) == hub.files
    assert len(hub.requests) == asked


def _wait_for(holds, seconds=60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_index_brings_its_shards_of_the_same_commit(fetch, hub, tmp_path):
    hub.files = {"sub/model.safetensors.index.json": INDEX, **{f"sub/{name}": body for name, body in SHARDS.items()}}
    found = fetch(_source(files=("sub/model.safetensors.index.json",)))
    assert _content(found) == hub.files
    assert len({path.parent for path in found.files.values()}) == 1


@pytest.mark.parametrize("name", ["../model.safetensors", "/etc/passwd", "a/b.safetensors", "..", ""])
def test_an_index_that_names_files_elsewhere_is_refused(fetch, hub, name):
    hub.files = {"model.safetensors.index.json": json.dumps({"weight_map": {"w": name}}).encode()}
    with pytest.raises(ArtifactError, match="outside its folder"):
        fetch(_source(files=("model.safetensors.index.json",)))


@pytest.mark.parametrize("content", [b"no json", b"[]", b'{"weight_map": {}}', b'{"weight_map": [1]}'])
def test_an_index_that_is_none_is_told(fetch, hub, content):
    hub.files = {"model.safetensors.index.json": content}
    with pytest.raises(ArtifactError, match="an index of shards"):
        fetch(_source(files=("model.safetensors.index.json",)))


@pytest.mark.parametrize(
    "files",
    [
        {"model.safetensors": WEIGHTS, "pytorch_model.bin": b"old"},
        {"model.safetensors.index.json": INDEX, **SHARDS},
        {"pytorch_model.bin": b"old"},
    ],
)
def test_without_names_the_repositorys_weights_come_safetensors_first(fetch, hub, files):
    hub.files = files
    found = fetch(_source(files=()))
    assert _content(found) == {
        name: body for name, body in files.items() if name != "pytorch_model.bin" or len(files) == 1
    }


def test_progress_is_told_of_each_file(fetch):
    told = []
    fetch(on_progress=told.append)
    assert {each.name: (each.done_bytes, each.total_bytes) for each in told} == {
        name: (len(body), len(body)) for name, body in FILES.items()
    }


def test_a_listener_that_raises_hurts_no_download(fetch, caplog):
    assert _content(fetch(on_progress=lambda progress: 1 / 0)) == FILES
    assert "on_progress failed" in caplog.text


def test_a_data_set_is_asked_for_as_one(fetch, hub):
    found = fetch(_one(kind="hub-dataset"))
    assert "datasets--somebody--model" in str(found.files["model.safetensors"])
    with pytest.raises(SpecError, match="names no files"):
        fetch(_source(kind="hub-dataset", files=()))


def test_the_endpoint_of_the_environment_is_used(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    assert files_of(_one(), cache=tmp_path).origin == f"{REPOSITORY}@{COMMIT}"


def test_an_unreachable_hub_is_told_at_once(fetch, waits):
    with pytest.raises(WeightsUnavailableError, match="HF_ENDPOINT") as caught:
        fetch(endpoint=_nowhere())
    assert caught.value.where == f"{REPOSITORY}@main/model.safetensors"
    assert waits == []


def test_a_hub_that_says_nothing_is_left_within_the_time(fetch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(WeightsUnavailableError, match=r"[Tt]ime"):
            fetch(endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.2)
    assert time.monotonic() - start < 5


def test_a_name_that_leads_out_is_refused(fetch, hub):
    with pytest.raises(SpecError, match="leads out"):
        fetch(_source(files=("../x",)))
    assert hub.requests == []


def test_the_cache_lists_verifies_and_clears_repositories(fetch, tmp_path):
    found = fetch()
    (item,) = [each for each in items(tmp_path) if each.kind == "hub"]
    assert (item.name, item.about["commits"], item.size_bytes) == (REPOSITORY, COMMIT, len(WEIGHTS) + 2)
    assert verify(tmp_path) == {}
    _blob(found).write_bytes(b"damage")
    assert list(verify(tmp_path)) == [_blob(found)]
    assert [each.name for each in clear(tmp_path, model="somebody")] == [REPOSITORY]
    assert items(tmp_path) == ()
