"""Runs that are valid, and invalid in each way that LoadGen knows: scenario, and how the system behaves."""

from __future__ import annotations

from bytemlperf.scenarios import MultiStream, Offline, Server, SingleStream

LATE = lambda number: 0.001 if number % 7 else 0.02
RUNS = {
    "single, valid": (SingleStream(min_duration_s=0), {}),
    "single, p95": (SingleStream(min_duration_s=0, min_queries=700, percentile=0.95), {}),
    "single, too few": (SingleStream(min_duration_s=0, min_queries=63), {}),
    "single, just enough": (SingleStream(min_duration_s=0, min_queries=64), {}),
    "single, too short": (SingleStream(min_duration_s=0.5, min_queries=70, expected_latency_ms=100), {}),
    "single, cut": (SingleStream(min_duration_s=0, max_queries=80), {}),
    "single, permuted": (SingleStream(min_duration_s=0, whole_permutations=True), {}),
    "multi, valid": (MultiStream(min_duration_s=0, min_queries=700), {}),
    "multi, too few": (MultiStream(min_duration_s=0, min_queries=90, samples_per_query=3), {}),
    "multi, p90": (MultiStream(min_duration_s=0, percentile=0.9), {}),
    "multi, cut and too short": (MultiStream(min_duration_s=0.3, max_queries=20), {}),
    "server, valid": (Server(target_qps=4000, min_duration_s=0.02, min_queries=500, bound_ms=5000), {}),
    "server, too few": (Server(target_qps=4000, min_duration_s=0, bound_ms=5000), {}),
    "server, bound broken": (Server(target_qps=4000, min_duration_s=0, min_queries=500, bound_ms=1e-6), {}),
    "server, bound of p50": (
        Server(target_qps=4000, min_duration_s=0, min_queries=300, bound_ms=0.1, percentile=0.5),
        {},
    ),
    "server, cut": (Server(target_qps=2000, min_duration_s=1, max_queries=30), {}),
    "server, cut in time": (Server(target_qps=2000, min_duration_s=1, max_duration_s=0.01), {}),
    "server, too many at once": (
        Server(target_qps=2000, min_duration_s=0, max_outstanding=3),
        {"threads": True, "waits_s": LATE},
    ),
    "server, late answers": (
        Server(target_qps=1000, min_duration_s=0, min_queries=60, bound_ms=3),
        {"threads": True, "waits_s": LATE},
    ),
    "offline, valid": (Offline(min_duration_s=0, min_queries=300), {}),
    "offline, valid in time": (Offline(min_duration_s=0.02, min_queries=50), {"waits_s": lambda _: 0.03}),
    "offline, too short": (Offline(min_duration_s=5, expected_qps=20), {}),
}
