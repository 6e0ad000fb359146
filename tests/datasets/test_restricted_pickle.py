"""Pickles of arrays: read without running anything, and where they hold many bytes, without reading these."""

from __future__ import annotations

import pickle
import struct

import numpy as np
import pytest

from bytemlperf.datasets.restricted_pickle import read_pickle
from bytemlperf.errors import DatasetError

RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
UINT8 = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def by_python_2(pixels, labels):
    """Write what Python 2 wrote, as CIFAR-100 is published: strings of bytes, not of text."""
    shape = b"(K\x01J" + struct.pack("<i", len(pixels)) + b"M\x00\x0c\x86"
    data = RECONSTRUCT + shape + UINT8 + b"\x89T" + struct.pack("<i", pixels.nbytes) + pixels.tobytes() + b"tb"
    listed = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x0bfine_labels" + listed + b"U\x04data" + data + b"u."


@pytest.fixture(name="pixels", scope="module")
def _pixels():
    return np.random.default_rng(0).integers(0, 256, (400, 3072), dtype=np.uint8)


def test_the_published_pixels_stay_in_the_file(tmp_path, pixels):
    labels = [number % 100 for number in range(400)]
    (tmp_path / "test").write_bytes(by_python_2(pixels, labels))
    found = read_pickle(tmp_path / "test")
    assert isinstance(found["data"], np.memmap)
    np.testing.assert_array_equal(found["data"], pixels)
    assert found["fine_labels"] == labels


@pytest.mark.parametrize(("protocol", "is_mapped"), [(0, False), (2, False), (3, True), (4, True)])
def test_every_protocol_gives_the_same(tmp_path, pixels, protocol, is_mapped):
    content = {"data": pixels, "small": np.arange(5.0), b"bytes": b"x", "turned": np.asfortranarray(pixels[:, :2])}
    (tmp_path / "test").write_bytes(pickle.dumps(content, protocol=protocol))
    found = read_pickle(tmp_path / "test")
    assert isinstance(found["data"], np.memmap) is is_mapped
    for name in ("data", "small", "turned"):
        np.testing.assert_array_equal(found[name], content[name])
        assert found[name].dtype == content[name].dtype


def test_arrays_within_other_values_are_arrays(tmp_path, pixels):
    (tmp_path / "test").write_bytes(pickle.dumps({"all": [pixels, np.arange(3)]}, protocol=4))
    found = read_pickle(tmp_path / "test")["all"]
    np.testing.assert_array_equal(found[0], pixels)
    assert found[1].tolist() == [0, 1, 2]


def test_a_pickle_that_ends_within_its_pixels_is_refused(tmp_path, pixels):
    whole = by_python_2(pixels, [1] * 400)
    for content in (whole[:-300_000], whole.replace(struct.pack("<i", 400), struct.pack("<i", 500), 1)):
        (tmp_path / "test").write_bytes(content)
        with pytest.raises(DatasetError, match="a pickle cannot be read"):
            read_pickle(tmp_path / "test")
