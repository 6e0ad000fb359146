"""MLPerf LoadGen's recipes: which samples are loaded, in which order they are asked for, when each query is due.

The same seeds give the same numbers as LoadGen does, to the nanosecond.

Source: loadgen.cc, mlcommons/inference at b66003e; order and number of the draws as the wheel `mlcommons-loadgen`
6.0.17 makes them, against which they are tested.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.scenarios.arrivals import until
from bytemlperf.scenarios.base import Seeds, check_size
from bytemlperf.scenarios.random_streams import Words, exponential_ns, shuffle, skip_shuffles, uniform

MLPERF_SEEDS: Final = Seeds(loaded=2085463073848966840, samples=2747215439041700203, schedule=16159082839903944936)
"""The seeds of a submission round, which changes them.

Source: mlperf.conf, mlcommons/inference at b66003e: qsl_rng_seed, sample_index_rng_seed, schedule_rng_seed.
"""


def loaded_samples(total: int, *, performance_samples: int | None, seed: int) -> NDArray[np.int64]:
    """Return the samples that a performance run keeps in memory, int64[n], in LoadGen's order.

    They are the first of the data set, shuffled. For MultiStream, LoadGen loads the first few of them once more at the
    end, so that a query can begin anywhere; here whoever reads on begins again at the first.

    Args:
        total: Samples in the data set.
        performance_samples: Samples that fit in memory; None for all.
        seed: LoadGen's `qsl_rng_seed`.
    """
    count = total if performance_samples is None else min(total, performance_samples)
    return shuffle(Words(seed), np.arange(count, dtype=np.int64))


def drawn_samples(loaded: NDArray[np.int64], *, queries: int, min_queries: int, seed: int) -> NDArray[np.int64]:
    """Draw a sample for each query, with replacement: SingleStream and Server.

    Args:
        loaded: int64[n], from `loaded_samples`.
        queries: Draws.
        min_queries: LoadGen's `min_query_count`: it uses up random words for orders that it then does not take.
        seed: LoadGen's `sample_index_rng_seed`.
    """
    words, n = Words(seed), len(loaded)
    skip_shuffles(words, n, 1 + _ceil(min_queries, n))
    return loaded[uniform(words, n, queries)]


def permuted_samples(loaded: NDArray[np.int64], *, queries: int, min_queries: int, seed: int) -> NDArray[np.int64]:
    """Lay whole shuffled copies of the loaded set side by side: SingleStream and Server with equal issue.

    As many copies are made as `min_queries` need; a longer run begins again with the first of them.

    Args:
        loaded: As `drawn_samples`.
        queries: Samples asked for.
        min_queries: LoadGen's `min_query_count`, padded or not.
        seed: As `drawn_samples`.
    """
    words, order = Words(seed), np.arange(len(loaded), dtype=np.int64)
    skip_shuffles(words, len(loaded), 1)
    copies = []
    for _ in range(_ceil(min_queries, len(loaded))):
        order = shuffle(words, order)
        copies.append(order)
    return loaded[np.resize(np.concatenate(copies), queries)]


def contiguous_samples(
    loaded: NDArray[np.int64], *, queries: int, samples_per_query: int, min_queries: int, seed: int
) -> NDArray[np.int64]:
    """Draw where each query begins; the rest of it follows in the order of loading: MultiStream.

    Args:
        loaded: As `drawn_samples`.
        queries: Queries.
        samples_per_query: Samples in each.
        min_queries: As `drawn_samples`.
        seed: As `drawn_samples`.

    Returns:
        int64[queries * samples_per_query].
    """
    words, n = Words(seed), len(loaded)
    padded = n + samples_per_query - 1
    skip_shuffles(words, _ceil(n, samples_per_query), 1)
    skip_shuffles(words, padded, _ceil(min_queries, padded))
    begins = uniform(words, n, queries)
    places: NDArray[np.int64] = (begins[:, np.newaxis] + np.arange(samples_per_query)) % n
    return loaded[places.ravel()]


def offline_samples(loaded: NDArray[np.int64], *, samples: int) -> NDArray[np.int64]:
    """Go round the loaded set in the order of loading: Offline."""
    return np.resize(loaded, samples)


def offline_permuted_samples(loaded: NDArray[np.int64], *, samples: int, seed: int) -> NDArray[np.int64]:
    """Lay whole shuffled copies of the loaded set side by side, each shuffled from the start: Offline, equal issue.

    Args:
        loaded: As `drawn_samples`.
        samples: A multiple of the loaded set.
        seed: As `drawn_samples`.
    """
    words, n = Words(seed), len(loaded)
    skip_shuffles(words, n, 2)
    straight = np.arange(n, dtype=np.int64)
    return np.concatenate([loaded[shuffle(words, straight)] for _ in range(samples // n)])


def poisson_arrivals_ns(
    target_qps: float, *, min_queries: int, min_duration_ns: int, seed: int, multiple_of: int = 1
) -> NDArray[np.int64]:
    """Return when the queries of a Poisson process are due, int64[n], from 0: Server.

    They go on until there are enough of them, in number and in time.

    Args:
        target_qps: Mean rate per second.
        min_queries: Least number.
        min_duration_ns: The last one is not due before it.
        seed: LoadGen's `schedule_rng_seed`.
        multiple_of: Their number is a multiple of it.

    Raises:
        SpecError: If they would be too many to hold.
    """
    words = Words(seed)
    return until(
        lambda count: exponential_ns(words, target_qps, count),
        rate_qps=target_qps,
        min_queries=min_queries,
        min_duration_ns=min_duration_ns,
        multiple_of=multiple_of,
    )


def queries_ahead(expected_latency_ns: int, *, min_queries: int, min_duration_ns: int) -> int:
    """Count the queries that a stream needs in store: for twice its duration at the latency that is expected.

    Raises:
        SpecError: If they would be too many to hold.
    """
    check_size(2 * min_duration_ns / expected_latency_ns)
    period_ns = int(1.0 / stream_qps(expected_latency_ns) * 1e9)
    return max(min_queries, _ceil(2 * min_duration_ns, period_ns) + 1 if min_duration_ns else 1)


def stream_qps(expected_latency_ns: int) -> float:
    """Return the rate per second that LoadGen takes a stream to have."""
    return 1e9 / expected_latency_ns


def _ceil(count: int, unit: int) -> int:
    return -(-count // unit)
