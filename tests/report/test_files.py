import json
import os
import stat
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.report_samples import differences, trace

from bytemlperf.errors import HarnessError, SpecError
from bytemlperf.report import files


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path):
    path = files.write_bytes(tmp_path / "a/b.bin", b"content")
    assert path.read_bytes() == b"content"
    assert [each.name for each in path.parent.iterdir()] == ["b.bin"]


def test_a_file_is_readable_as_the_user_wants_new_files_to_be(tmp_path):
    before = os.umask(0o027)
    try:
        path = files.write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = files.write_bytes(tmp_path / "a.json", b"old")
    (tmp_path / "blocked").mkdir()
    with pytest.raises(HarnessError, match="cannot be written") as caught:
        files.write_bytes(tmp_path / "blocked", b"new")
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(HarnessError):
        files.write_bytes(path / "below", b"new")
    assert path.read_bytes() == b"old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.json", "blocked"]


def test_readers_never_see_half_a_file(tmp_path):
    path = files.write_json(tmp_path / "a.json", ["x"] * 5000)
    done = threading.Event()

    def write():
        for index in range(60):
            files.write_json(path, [str(index % 10)] * 5000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while not done.is_set():
        data = json.loads(path.read_text())
        assert len(data) == 5000
        assert len(set(data)) == 1
        seen += 1
    writer.join()
    assert seen > 0


def test_json_is_for_people_too(tmp_path):
    text = files.write_json(tmp_path / "a.json", {"b": "é", "a": [1]}).read_text(encoding="utf-8")
    assert text == '{\n "b": "é",\n "a": [\n  1\n ]\n}\n'
    assert files.read_json(tmp_path / "a.json") == {"b": "é", "a": [1]}


def test_json_holds_no_nan(tmp_path):
    with pytest.raises(SpecError, match="not JSON data"):
        files.write_json(tmp_path / "a.json", [float("nan")])
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_what_is_no_json_is_refused_by_name(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(SpecError, match=r"a\.json"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(SpecError, match=r"nowhere\.json\); got 'FileNotFoundError"):
        files.read_json(tmp_path / "nowhere.json")


def test_a_trace_comes_back(tmp_path):
    stamps = trace(queries=50, clients=2)
    back = files.read_trace(files.write_trace(tmp_path / "t.npz", stamps))
    for name in ("scheduled_ns", "done_ns", "status", "client", "chunk_ns"):
        assert np.array_equal(getattr(back, name), getattr(stamps, name))
        assert getattr(back, name).dtype == getattr(stamps, name).dtype
    assert (back.started_ns, back.warmup_queries, back.warmup_stable) == (1_000, 10, True)


def test_numpy_alone_reads_a_trace(tmp_path):
    files.write_trace(tmp_path / "t.npz", trace(queries=5))
    with np.load(tmp_path / "t.npz", allow_pickle=False) as arrays:
        assert len(arrays["done_ns"]) == 5


def damaged_traces(tmp_path):
    whole = files.write_trace(tmp_path / "whole.npz", trace(queries=500)).read_bytes()
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.save(tmp_path / "one.npy", np.zeros(3))
    middle = bytearray(whole)
    middle[len(whole) // 4] ^= 0xFF
    yield from (b"", b"PK", whole[: len(whole) // 2], bytes(middle))
    yield from ((tmp_path / name).read_bytes() for name in ("other.npz", "one.npy"))


def test_what_is_no_trace_is_refused_by_name(tmp_path):
    for content in damaged_traces(tmp_path):
        (tmp_path / "t.npz").write_bytes(content)
        with pytest.raises(SpecError, match=r"no trace \(at t\.npz\)"):
            files.read_trace(tmp_path / "t.npz")


def test_differences_come_back(tmp_path):
    outputs = differences().outputs
    assert files.read_differences(files.write_differences(tmp_path / "d.json", outputs)) == outputs


@pytest.mark.parametrize("content", ["[]", '{"y": {}}', '{"y": 3}'])
def test_what_are_no_differences_is_refused(tmp_path, content):
    (tmp_path / "d.json").write_text(content)
    with pytest.raises(SpecError):
        files.read_differences(tmp_path / "d.json")


def test_keys_become_readable_names():
    assert files.trace_path("performance/x=1/batch=8") == "traces/performance-x=1-batch=8.npz"
    assert files.plot_path("numeric", "difference") == "plots/numeric-difference.png"
    assert files.differences_path("numeric") == "differences/numeric.json"
    assert files.row_path("accuracy") == "rows/accuracy.json"


@given(
    st.sets(st.text(min_size=1, max_size=8, alphabet="ab/-.:= é\0") | st.text(min_size=110, max_size=140), min_size=2)
)
def test_different_keys_have_different_harmless_names(keys):
    stems = {files.file_stem(key) for key in keys}
    assert len(stems) == len(keys)
    for stem in stems:
        assert 0 < len(stem) <= 140
        assert stem.isascii()
        assert not set(stem) & set("/\\\0 ")
        assert not stem.startswith(".")


def test_a_digest_is_that_of_sha256sum(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert files.sha256_of(tmp_path / "a").startswith("ba7816bf8f01cfea414140de5dae2223b00361a3")


def test_writing_pulls_in_no_plotting():
    import subprocess

    code = "import sys, bytemlperf.report.files, bytemlperf.report; print('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
