from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets.criteo import Criteo, CriteoOptions
from bytemlperf.datasets.criteo_files import COUNT_ORDER, WORD_ORDER, parsed_blocks
from bytemlperf.datasets.fast_hash import hash_buckets
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError

NAMES = ("I1", "I10", "I11", "I12", "I13", "I2", "I3")


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(tensor("words", ("26*batch", 2), "int64"), tensor("numbers", ("batch", 13)))


def rows_of_text(rng, count, *, separator="\t"):
    counts = rng.integers(-3, 40, (count, 13)).astype(str)
    counts[rng.random((count, 13)) < 0.2] = ""
    words = np.array([f"{number:08x}" for number in rng.integers(0, 2**32, count * 26)]).reshape(count, 26)
    words[rng.random((count, 26)) < 0.1] = ""
    labels = (rng.random(count) < 0.3).astype(int)
    text = [separator.join([str(label), *one, *other]) for label, one, other in zip(labels, counts, words, strict=True)]
    return text, labels, counts, words


def write(path, lines, newline="\n"):
    path.write_text(newline.join(lines) + newline, encoding="utf-8", newline="")
    return path


def opened(path, spec, tmp_path, **options):
    return Criteo.open(spec, CriteoOptions(path=str(path), cache=str(tmp_path / "cache"), **options))


@pytest.mark.parametrize(("name", "separator", "newline"), [("train.txt", "\t", "\n"), ("eval.csv", ",", "\r\n")])
def test_rows_are_those_of_the_file_in_the_originals_order_of_columns(rng, spec, tmp_path, name, separator, newline):  # noqa: PLR0917
    lines, labels, counts, words = rows_of_text(rng, 50, separator=separator)
    write(tmp_path / name, lines, newline)
    loader = opened(tmp_path, spec, tmp_path)
    assert (len(loader), loader.name, loader.metrics) == (50, "criteo", ("auc", "log_loss", "binary_accuracy"))
    assert loader.labels(range(50)).tolist() == labels.tolist()
    loaded = loader.load([3, 0, 7])
    numbers = np.where(counts == "", "0", counts).astype(np.float64)
    scaled = (numbers - numbers.min(axis=0)) / (numbers.max(axis=0) - numbers.min(axis=0))
    by_name = sorted(range(13), key=lambda number: f"I{number + 1}")
    np.testing.assert_allclose(loaded["numbers"], scaled[[3, 0, 7]][:, by_name], atol=1e-6)
    by_name = sorted(range(26), key=lambda number: f"C{number + 1}_embedding")
    pairs = loaded["words"].reshape(3, 26, 2)
    assert pairs[0, :, 0].tolist() == list(range(26))
    assert pairs[:, :, 1].ravel().tolist() == hash_buckets(words[[3, 0, 7]][:, by_name].ravel().tolist(), 1000).tolist()
    assert (COUNT_ORDER[:3], WORD_ORDER[:3], WORD_ORDER[10]) == ((1, 10, 11), (10, 11, 12), 1)


def test_the_binary_form_is_made_once_and_reads_the_same(rng, spec, tmp_path):
    lines, *_ = rows_of_text(rng, 40)
    path = write(tmp_path / "train.txt", lines)
    first, second = opened(path, spec, tmp_path), opened(path, spec, tmp_path)
    (entry,) = (tmp_path / "cache" / "datasets" / "criteo").glob("[!.]*")
    assert first.fingerprint() == second.fingerprint()
    for name, array in first.load(range(40)).items():
        np.testing.assert_array_equal(second.load(np.arange(40).tolist())[name], array)
    write(path, lines[:-1])
    assert len(opened(path, spec, tmp_path)) == 39
    assert opened(path, spec, tmp_path).fingerprint() != first.fingerprint()
    assert entry.exists()


@pytest.mark.parametrize("block_bytes", [300, 1000, 10**6])
def test_blocks_of_any_size_give_the_same_rows(rng, tmp_path, block_bytes):
    lines, labels, *_ = rows_of_text(rng, 30)
    path = write(tmp_path / "train.txt", lines)
    blocks = list(parsed_blocks(path, block_bytes=block_bytes))
    whole = next(parsed_blocks(path))
    assert np.concatenate([block.clicked for block in blocks]).tolist() == labels.tolist()
    for name in ("counts", "buckets"):
        np.testing.assert_array_equal(np.concatenate([getattr(block, name) for block in blocks]), getattr(whole, name))


def test_given_minimums_and_ranges_are_those_of_i1_to_i13(rng, spec, tmp_path):
    lines, _, counts, _ = rows_of_text(rng, 10)
    path = write(tmp_path / "train.txt", lines)
    minimums, ranges = tuple(range(13)), tuple(range(100, 113))
    loader = opened(path, spec, tmp_path, minimums=minimums, ranges=ranges)
    numbers = np.where(counts == "", "0", counts).astype(np.float64)
    expected = ((numbers - np.arange(13)) / np.arange(100, 113))[:, np.array(COUNT_ORDER) - 1]
    np.testing.assert_allclose(loader.load(range(10))["numbers"], expected, rtol=1e-6)
    assert loader.fingerprint() != opened(path, spec, tmp_path).fingerprint()
    with pytest.raises(SpecError, match="go together"):
        CriteoOptions(minimums=minimums)
    with pytest.raises(SpecError, match="wrong number of values"):
        CriteoOptions(minimums=(1,), ranges=(1,))


def test_numbers_may_have_a_sign_and_a_fraction(rng, spec, tmp_path):
    lines, *_ = rows_of_text(rng, 1)
    fields = lines[0].split("\t")
    fields[1:14] = ["-3", "2.5", "-0.25", "", "7", *["0"] * 8]
    path = write(tmp_path / "train.txt", ["\t".join(fields)])
    loader = opened(path, spec, tmp_path, minimums=(0,) * 13, ranges=(1,) * 13)
    found = dict(zip(COUNT_ORDER, loader.load([0])["numbers"][0].tolist(), strict=True))
    assert [found[number] for number in range(1, 6)] == [-3, 2.5, -0.25, 0, 7]


BROKEN = {
    "39 columns": lambda fields: fields[:-1],
    "41 columns": lambda fields: [*fields, "x"],
    "the label 0 or 1": lambda fields: ["2", *fields[1:]],
    "the label 0 or 1, and": lambda fields: ["", *fields[1:]],
    "numbers or nothing": lambda fields: [fields[0], "1e5", *fields[2:]],
    "or nothing": lambda fields: [fields[0], "-", *fields[2:]],
    "and numbers": lambda fields: [fields[0], "1.2.3", *fields[2:]],
    "0 or 1, and numbers": lambda fields: [fields[0], "1" * 19, *fields[2:]],
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_line_that_cannot_be_used_is_named_or_counted(rng, spec, tmp_path, message):
    lines, labels, *_ = rows_of_text(rng, 6)
    lines[4] = "\t".join(BROKEN[message](lines[4].split("\t")))
    path = write(tmp_path / "train.txt", lines)
    with pytest.raises(DatasetError, match=message) as caught:
        opened(path, spec, tmp_path)
    assert caught.value.where == f"{path}:5"
    loader = opened(path, spec, tmp_path, skip_unusable=True)
    assert len(loader) == 5
    assert len(loader.skipped) == 1
    assert loader.skipped[0].startswith(f"{path}:5")
    assert loader.labels(range(5)).tolist() == np.delete(labels, 4).tolist()


def test_the_last_rows_may_be_held_out(rng, spec, tmp_path):
    lines, *_ = rows_of_text(rng, 12)
    loader = opened(write(tmp_path / "train.txt", lines), spec, tmp_path, held_out=4)
    assert (len(loader), list(loader.calibration())) == (8, [8, 9, 10, 11])
    assert loader.load(loader.calibration())["numbers"].shape == (4, 13)


def test_what_is_missing_or_does_not_fit_is_told(rng, spec, tmp_path, tensor, model):
    with pytest.raises(DatasetUnavailableError, match="come with no package"):
        Criteo.open(spec, CriteoOptions())
    with pytest.raises(DatasetUnavailableError, match="are missing"):
        opened(tmp_path, spec, tmp_path)
    path = tmp_path / "eval.csv"
    path.write_text("")
    with pytest.raises(DatasetError, match="has no row"):
        opened(path, spec, tmp_path)
    with pytest.raises(SpecError, match="does not fit"):
        opened(path, model(tensor("numbers", ("batch", 13))), tmp_path)
    write(path, rows_of_text(rng, 2, separator=",")[0])
    with pytest.raises(DatasetError, match="no such sample"):
        opened(path, spec, tmp_path).load([2])
