"""Files of a data set: on this machine, at a URL, in an archive, on the hub; fetched once, compared with their pins."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
from tests.fetch.hub_server import COMMIT, REPOSITORY, serving_hub
from tests.fetch.serving import serving

from bytemlperf.datasets.locating import FileOptions, located
from bytemlperf.errors import DatasetUnavailableError, SpecError

QUESTIONS = json.dumps({"data": []}).encode()
SHA256 = hashlib.sha256(QUESTIONS).hexdigest()


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def site():
    with serving() as served:
        served.put("/dev-v1.1.json", QUESTIONS)
        served.put("/more/vocab.txt", b"[PAD]\n")
        served.put("/more/dev-v1.1.json", QUESTIONS)
        yield served


def find(path, *, names=("dev-v1.1.json",), folder=False, unpacks=True, **options):
    options = FileOptions(path=str(path), **options)
    return located(options, dataset="questions", layout="a file", names=names, folder=folder, unpacks=unpacks)


def packed(**files):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name.replace("__", "/").replace("_JSON", ".json"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return made.getvalue()


def test_a_pinned_file_at_a_url_is_fetched_once(site):
    url = f"{site.url}/dev-v1.1.json#sha256={SHA256}"
    first, second = find(url), find(url)
    assert first == second
    assert first.read_bytes() == QUESTIONS
    assert [each for each in site.requests if each[0] == "GET"] == [("GET", "/dev-v1.1.json")]


def test_a_pin_may_stand_beside_the_url_but_not_differ_from_its_own(site):
    assert find(f"{site.url}/dev-v1.1.json", sha256=SHA256.upper()).read_bytes() == QUESTIONS
    with pytest.raises(SpecError, match="two digests are given for one file"):
        find(f"{site.url}/dev-v1.1.json#sha256={SHA256}", sha256="0" * 64)


def test_another_file_than_the_pinned_one_is_the_data_sets_trouble(site):
    with pytest.raises(DatasetUnavailableError, match="cannot be had") as caught:
        find(f"{site.url}/dev-v1.1.json", sha256="0" * 64)
    assert SHA256 in str(caught.value)


def test_nothing_at_the_url_is_the_data_sets_trouble(site):
    with pytest.raises(DatasetUnavailableError, match="404"):
        find(f"{site.url}/nothing.json#sha256={SHA256}")


def test_files_below_a_folder_of_the_local_machine_are_brought_together(tmp_path):
    for name in ("dev-v1.1.json", "vocab.txt"):
        (tmp_path / name).write_bytes(QUESTIONS)
    found = find(tmp_path.as_uri(), files=("dev-v1.1.json", "vocab.txt"))
    assert found.name == "dev-v1.1.json"
    assert found.with_name("vocab.txt").is_file()
    with pytest.raises(SpecError, match="one digest is given for several files"):
        find(tmp_path.as_uri(), files=("dev-v1.1.json", "vocab.txt"), sha256=SHA256)


def test_an_archive_is_unpacked_and_its_only_folder_gone_into(tmp_path):
    path = tmp_path / "data.tar.gz"
    path.write_bytes(packed(coco__annotations_JSON=b"{}", coco__readme=b"x"))
    found = find(path.as_uri(), names=(), folder=True)
    assert sorted(each.name for each in found.iterdir()) == ["annotations.json", "readme"]


def test_in_an_archive_a_file_may_lie_further_down(site):
    content = packed(**{"deep__er__dev-v1.1_JSON": QUESTIONS, "readme": b"x"})
    site.put("/squad.tgz", content)
    digest = hashlib.sha256(content).hexdigest()
    assert find(f"{site.url}/squad.tgz#sha256={digest}").read_bytes() == QUESTIONS


def test_an_archive_of_the_network_needs_a_pin(site):
    site.put("/squad.tgz", packed(readme=b"x"))
    with pytest.raises(SpecError, match="an archive is fetched only where its digest is known"):
        find(f"{site.url}/squad.tgz")


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path):
    path = tmp_path / "bad.tar.gz"
    path.write_bytes(packed(**{"..__..__evil_JSON": b"{}"}))
    with pytest.raises(DatasetUnavailableError, match="cannot be had"):
        find(path.as_uri())
    assert not list(tmp_path.rglob("evil.json"))


def test_an_archive_may_be_read_as_it_is(tmp_path):
    path = tmp_path / "images.tar"
    path.write_bytes(b"x")
    assert find(path.as_uri(), names=(), unpacks=False).read_bytes() == b"x"


def test_a_repository_on_the_hub_gives_named_files_of_one_commit(monkeypatch):
    files = {"plain_text/dev-v1.1.json": QUESTIONS, "plain_text/vocab.txt": b"[PAD]\n"}
    with serving_hub(files) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        place = f"hub://{REPOSITORY}"
        one = find(place, files=("plain_text/dev-v1.1.json",), revision=COMMIT, sha256=SHA256)
        assert one.read_bytes() == QUESTIONS
        assert COMMIT in one.parts
        both = find(place, files=tuple(files))
        assert both.name == "dev-v1.1.json"
        folder = find(place, names=(), folder=True, files=("plain_text/vocab.txt",))
        assert (folder / "plain_text" / "vocab.txt").is_file()
        with pytest.raises(SpecError, match="have to be named"):
            find(place)
        with pytest.raises(DatasetUnavailableError, match="cannot be had"):
            find(place, files=("nothing.json",))
        with pytest.raises(DatasetUnavailableError, match="cannot be had"):
            find(place, files=("plain_text/dev-v1.1.json",), sha256="0" * 64)


def test_what_is_missing_on_this_machine_says_the_layout(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetUnavailableError, match=r"are missing.*expected a file"):
            find(path)
    with pytest.raises(DatasetUnavailableError, match="come with no package"):
        located(FileOptions(), dataset="questions", layout="a file")
