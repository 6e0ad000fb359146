from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from bytemlperf.datasets.fast_hash import hash_buckets
from bytemlperf.errors import SpecError


def test_buckets_are_tensorflows_on_100000_strings(rng):
    """All lengths to 300 bytes, in every branch of the algorithm; most as long as Criteo's words."""
    lengths = np.concatenate([np.arange(301), rng.integers(0, 300, 9_699), np.full(90_000, 8)])
    data = rng.integers(0, 256, int(lengths.sum()), dtype=np.uint8).tobytes()
    ends = np.cumsum(lengths)
    texts = [data[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    for buckets in (1000, 2**62 - 57):
        np.testing.assert_array_equal(
            hash_buckets(texts, buckets), tf.strings.to_hash_bucket_fast(tf.constant(texts), buckets).numpy()
        )


def test_text_is_hashed_as_utf8():
    texts = ["", "ä", "05db9164", "北京", "x" * 65]
    assert hash_buckets(texts, 1000).tolist() == tf.strings.to_hash_bucket_fast(texts, 1000).numpy().tolist()
    assert hash_buckets([], 1000).shape == (0,)
    with pytest.raises(SpecError, match="no bucket"):
        hash_buckets(texts, 0)
