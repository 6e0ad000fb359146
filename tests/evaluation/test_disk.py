"""Room on disk is what the system has given to files, links and lost files apart."""

from __future__ import annotations

import os
import subprocess

from bytemlperf.evaluation.disk import bytes_below


def test_it_is_what_du_counts(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_bytes(os.urandom(100_000))
    (tmp_path / "two").write_bytes(os.urandom(5_000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**9)
    files = [str(path) for path in tmp_path.rglob("*") if path.is_file()]
    told = subprocess.run(["du", "--block-size=1", *files], capture_output=True, text=True, check=True).stdout
    assert bytes_below(tmp_path) == sum(int(line.split()[0]) for line in told.splitlines())
    assert 105_000 <= bytes_below(tmp_path) < 10**6


def test_links_are_not_followed_and_nothing_is_nothing(tmp_path):
    (tmp_path / "large").write_bytes(os.urandom(10**6))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "large")
    (tmp_path / "folder" / "up").symlink_to(tmp_path)
    assert bytes_below(tmp_path / "folder") < 10_000
    assert bytes_below(tmp_path / "gone") == 0
