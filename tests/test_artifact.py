"""A model's digest: equal exactly for equal content."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from bytemlperf.artifact import digest_of
from bytemlperf.errors import ArtifactError


def _tree(folder):
    (folder / "variables").mkdir(parents=True)
    (folder / "graph.pb").write_bytes(b"graph")
    (folder / "variables" / "data").write_bytes(b"\x00" * 100_000)
    return folder


def test_a_files_digest_is_what_sha256sum_says(tmp_path):
    file = tmp_path / "model.onnx"
    file.write_bytes(os.urandom(3_000_000))
    told = subprocess.run(["sha256sum", file], check=True, capture_output=True, text=True).stdout.split()[0]
    assert digest_of(file) == told


def test_a_folders_digest_is_the_sha256_of_what_sha256sum_lists(tmp_path):
    folder = _tree(tmp_path / "model")
    command = "LC_ALL=C find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    told = subprocess.run(["bash", "-c", command], cwd=folder, check=True, capture_output=True, text=True).stdout
    assert digest_of(folder) == told.split()[0]


def test_a_copied_folder_has_the_same_digest(tmp_path):
    folder = _tree(tmp_path / "model")
    copy = shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    (copy / "empty").mkdir()
    assert digest_of(copy) == digest_of(folder)


def test_a_folders_digest_changes_with_a_byte(tmp_path):
    folder = _tree(tmp_path / "model")
    before = digest_of(folder)
    (folder / "variables" / "data").write_bytes(b"\x00" * 99_999 + b"\x01")
    assert digest_of(folder) != before


def test_a_folders_digest_changes_with_a_name(tmp_path):
    folder = _tree(tmp_path / "model")
    before = digest_of(folder)
    (folder / "graph.pb").rename(folder / "graph2.pb")
    assert digest_of(folder) != before


@pytest.mark.parametrize("name", ["missing", "empty"])
def test_what_holds_no_file_has_no_digest(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError) as caught:
        digest_of(tmp_path / name)
    assert caught.value.where == str(tmp_path / name)
