"""Load patterns as pure plans: which batch is asked for when, by how many clients, until when.

| scenario | queries come |
|---|---|
| `FixedBatch` | clients x iterations in a closed loop, as ByteMLPerf's workloads say |
| `SingleStream`, `MultiStream` | one after another |
| `Server` | by chance at a mean rate, within a bound of latency |
| `Offline` | all at once |
| `ClosedLoop` | from k clients, one after another each |
| `ConstantRate` | at equal distances |
| `GammaArrivals` | at a mean rate, in bursts or evenly |
| `Ramp` | at a rate that rises or falls |
| `Replay` | when those of a recorded trace did |

Scenario and seeds decide everything: `loadgen` makes the plans of MLPerf's four as LoadGen does, to the nanosecond.
"""

from bytemlperf.scenarios.base import Batching, Plan, Scenario, Seeds, Stop, Warmup
from bytemlperf.scenarios.certainty import Certainty, Look
from bytemlperf.scenarios.fixed_batch import FixedBatch
from bytemlperf.scenarios.loadgen import MLPERF_SEEDS
from bytemlperf.scenarios.mlperf import MLPerfScenario, MultiStream, Offline, Server, SingleStream
from bytemlperf.scenarios.services import ClosedLoop, ConstantRate, GammaArrivals, OpenLoop, Ramp, Replay
from bytemlperf.spec.reading import tag_union

_KINDS: tuple[type[Scenario], ...] = (
    FixedBatch,
    SingleStream,
    MultiStream,
    Server,
    Offline,
    ClosedLoop,
    ConstantRate,
    GammaArrivals,
    Ramp,
    Replay,
)
tag_union(Scenario, {kind.kind_name: kind for kind in _KINDS})

__all__ = [
    "MLPERF_SEEDS",
    "Batching",
    "Certainty",
    "ClosedLoop",
    "ConstantRate",
    "FixedBatch",
    "GammaArrivals",
    "Look",
    "MLPerfScenario",
    "MultiStream",
    "Offline",
    "OpenLoop",
    "Plan",
    "Ramp",
    "Replay",
    "Scenario",
    "Seeds",
    "Server",
    "SingleStream",
    "Stop",
    "Warmup",
]
