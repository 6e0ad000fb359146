"""`interleave`: two backends kept alive side by side, and asked in turn."""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final, Literal, get_args

import attrs
import numpy as np

from bytemlperf.api import BackendLike, TaskLike, make_request
from bytemlperf.datasets import DatasetLoader, batches
from bytemlperf.environment import NoiseCertificate, NoiseWatch
from bytemlperf.errors import CancelledError, SpecError
from bytemlperf.evaluation.answers import ask_once, over_samples
from bytemlperf.evaluation.devicelock import hold
from bytemlperf.evaluation.masks import masks_of
from bytemlperf.evaluation.opened import Opened, opened
from bytemlperf.evaluation.performing import Timed
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.workbench import Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import NumericResult, compare, tolerance_of
from bytemlperf.sample import Array
from bytemlperf.scenarios import FixedBatch, Seeds, Warmup
from bytemlperf.spec import DType
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.statistics import percentile
from bytemlperf.studies.interleaving.blocks import Block, Letter, Weighed, measured, orders, weigh
from bytemlperf.studies.interleaving.result import Contender, Interleaving
from bytemlperf.worker import Cancelled, Isolation, Series, Worker
from bytemlperf.workload import DatasetRequest, Limits

Figure = Literal["mean", "p50", "p90"]
STRETCH_S: Final = 0.1
"""About how long one side is asked before the other comes."""
FEWEST_QUERIES: Final = 3
MOST_QUERIES: Final = 2000
FEWEST_BLOCKS: Final = 6
"""In all, whatever the time: fewer tell nothing."""
_WARM: Final = Warmup(max_queries=2, window=2)
_LONG_WARM: Final = Warmup(max_queries=50)


def interleave(
    task: TaskLike,
    *,
    a: BackendLike,
    b: BackendLike,
    minutes: float = 1.0,
    repeats: int = 1,
    figure: Figure = "mean",
    level: float = 0.95,
    equivalence: float = 0.02,
    batch_size: int = 1,
    precision: str | DType | None = None,
    weights: str | None = None,
    dataset: str | DatasetRequest | DatasetLoader | None = None,
    a_options: Mapping[str, ConfigValue] | None = None,
    b_options: Mapping[str, ConfigValue] | None = None,
    numeric_samples: int = 32,
    devices: Iterable[str] | None = None,
    seed: int = 0,
    limits: Limits | None = None,
    worker: Worker | None = None,
    cancel: Cancelled | None = None,
) -> Interleaving:
    """Decide which of two backends is faster at the same model, inputs and outputs.

    Both are compiled and kept alive, each in a worker of its own, and asked in turn in blocks of ABBA or BAAB by
    chance, one query at a time. Each block gives one ratio, in which what drifts meanwhile is on neither side. The
    decision is about these two processes; with `repeats` it is about the machine, and each pair of fresh processes
    gives one value.

    Args:
        task: As `run`.
        a: Base; as `backend` of `run`.
        b: Candidate.
        minutes: Of measuring, all repeats together; compiling is not in it.
        repeats: Pairs of fresh processes.
        figure: Of the latencies of a stretch: what is compared.
        level: Confidence of interval and decision.
        equivalence: Share within which a difference counts as none.
        batch_size: Samples in a query.
        precision: As `run`, of both.
        weights: As `run`, of both.
        dataset: As `run`.
        a_options: Fields of a's options class.
        b_options: Fields of b's.
        numeric_samples: Samples for which the outputs of both are compared.
        devices: As `run`, of both.
        seed: As `run`; also of the order of blocks.
        limits: As `run`, of each.
        worker: How to start both.
        cancel: As `run`.

    Returns:
        The decision, its interval, and every block.

    Raises:
        RequestError: If what was asked for cannot be.
        BenchmarkError: If a side cannot be compiled or asked; CancelledError if the caller asked to stop.
    """
    asked = _Asked(
        minutes=minutes, repeats=repeats, figure=figure, level=level, equivalence=equivalence, batch_size=batch_size
    )
    shared = {
        "precision": precision,
        "weights": weights,
        "batch_sizes": (batch_size,),
        "devices": devices,
        "numeric_samples": numeric_samples,
        "seed": seed,
        "limits": limits,
        "checks": ("performance", "numeric"),
    }
    make = partial(make_request, task, dataset=dataset, worker=worker)
    requests = [
        attrs.evolve(make(backend=side, fields={**shared, "options": options}), cancel=cancel)
        for side, options in ((a, a_options), (b, b_options))
    ]
    return _interleaved(requests[0], requests[1], asked)


def _check(asked: _Asked) -> None:
    for name, right, expected in (
        ("minutes", asked.minutes > 0, "a number above 0"),
        ("repeats", asked.repeats >= 1, "a whole number from 1"),
        ("figure", asked.figure in get_args(Figure), f"one of {', '.join(get_args(Figure))}"),
        ("level", 0 < asked.level < 1, "between 0 and 1"),
        ("equivalence", 0 <= asked.equivalence < math.inf, "a number not below 0"),
    ):
        if not right:
            raise SpecError("out of range", where=f"$.{name}", got=getattr(asked, name), expected=expected)


@attrs.frozen(kw_only=True)
class _Asked:
    minutes: float
    repeats: int
    figure: Figure
    level: float
    equivalence: float
    batch_size: int

    def __attrs_post_init__(self) -> None:
        _check(self)


def _interleaved(a: Request, b: Request, asked: _Asked) -> Interleaving:
    started_s = time.time()
    with opened(a) as ready_a, opened(b) as ready_b:
        pair = _Pair(ready_a, ready_b, asked)
        blocks = [each for number in range(1, asked.repeats + 1) for each in pair.round(number)]
        warnings = (*ready_a.warnings, *ready_b.warnings, *pair.warnings)
        result = _result(pair, asked, blocks, noise=ready_a.facts.noise, warnings=tuple(dict.fromkeys(warnings)))
    started = dt.datetime.fromtimestamp(started_s, dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return attrs.evolve(result, started_utc=started, duration_s=time.time() - started_s)


class _Side:
    """One backend, compiled and ready to be asked."""

    def __init__(self, ready: Opened, bench: Workbench, asked: _Asked) -> None:
        self.subject, self._bench, self._asked = ready.subject, bench, asked
        self.info = bench.compile(asked.batch_size).info
        self._timed = Timed(ready.subject)
        self._batches = self._timed.batches(bench, asked.batch_size)
        self.devices = self._timed.devices(self.info)

    def ask(self, queries: int, warmup: Warmup = _WARM) -> float:
        """Return the figure of a stretch of queries, one at a time, in ns."""
        scenario = FixedBatch(iterations=queries, warmup=warmup)
        plan = scenario.plan(len(self._batches), Seeds())
        recording = self._bench.issue(Series(plan=plan, batches=self._batches, step="interleave"))
        if recording.failures:
            raise error_of(recording.failures[0])
        latency_ns = recording.trace.latency_ns
        shares = {"p50": 0.5, "p90": 0.9}
        figure = self._asked.figure
        return float(latency_ns.mean() if figure == "mean" else percentile(latency_ns, shares[figure]))

    def outputs(self) -> Mapping[str, Array]:
        """Return the outputs of the first samples."""
        subject, size = self.subject, self._asked.batch_size
        spec, loader = subject.original.spec, subject.data.loader
        count = min(subject.session.job.numeric_samples, len(loader))
        asked = batches(loader, spec.inputs, range(count), batch_size=size, engine_inputs=self.info.inputs)
        recording = ask_once(self._bench, asked, step="outputs")
        if recording.failures:
            raise error_of(recording.failures[0])
        return over_samples(recording.answers, asked, spec.outputs)


class _Pair:
    """Both sides; each round is measured in processes of its own."""

    def __init__(self, a: Opened, b: Opened, asked: _Asked) -> None:
        self._ready, self._asked = {"a": a, "b": b}, asked
        self._orders = orders(a.subject.session.job.seed)
        self.job = a.subject.session.job
        self.queries = 0
        self.warnings: list[str] = []
        self.numeric: NumericResult | None = None
        self.contenders: dict[str, Contender] = {}
        inline = [name for name, each in self._ready.items() if each.subject.opener.isolation is Isolation.INLINE]
        if inline and asked.repeats > 1:
            self.warnings.append(f"{' and '.join(inline)} shares this process: repeats are no fresh processes of it")

    def round(self, number: int) -> list[Block]:
        """Measure one round: fresh processes, outputs compared once, then blocks until its time is used."""
        with contextlib.ExitStack() as stack:
            sides = {
                name: _Side(ready, stack.enter_context(ready.subject.bench()), self._asked)
                for name, ready in self._ready.items()
            }
            self.contenders = {name: _contender(side, 0.0) for name, side in sides.items()}
            if self.numeric is None:
                self.numeric = _compared(sides["a"], sides["b"])
            watch = sides["a"].subject.session.watch
            with hold({*sides["a"].devices, *sides["b"].devices}, watch):
                return self._blocks(sides, number)

    def _blocks(self, sides: Mapping[str, _Side], number: int) -> list[Block]:
        latency_s = max(side.ask(FEWEST_QUERIES, _LONG_WARM) for side in sides.values()) / 1e9
        if not self.queries:
            self.queries = int(np.clip(math.ceil(STRETCH_S / latency_s), FEWEST_QUERIES, MOST_QUERIES))
        least = math.ceil(FEWEST_BLOCKS / self._asked.repeats)
        ends_s = time.monotonic() + self._asked.minutes * 60 / self._asked.repeats
        watch, noise, blocks = sides["a"].subject.session.watch, NoiseWatch(), list[Block]()

        def measure(letter: Letter) -> float:
            if watch.cancelled:
                raise CancelledError("the caller asked to stop")
            return sides[letter].ask(self.queries)

        while len(blocks) < least or time.monotonic() < ends_s:
            blocks.append(measured(next(self._orders), measure, number=number))
        self.warnings += [f"while it was measured {each}" for each in noise.end().reasons]
        return blocks


def _compared(a: _Side, b: _Side) -> NumericResult:
    """Hold b's outputs against a's, at the bound of the coarser precision of the two."""
    coarser = max((a.info.precision, b.info.precision), key=lambda each: tolerance_of(each).value or math.inf)
    count = min(a.subject.session.job.numeric_samples, len(a.subject.data.loader))
    return compare(
        b.outputs(),
        a.outputs(),
        specs=a.subject.original.spec.outputs,
        precision=coarser,
        valid=masks_of(a.subject, range(count)),
        independent=True,
        reference_name=f"a, {a.subject.description.name}",
    )


def _contender(side: _Side, time_ns: float) -> Contender:
    described = side.subject.description
    return Contender(
        backend=described.name,
        version=described.version,
        precision=side.info.precision.short,
        isolation=str(side.subject.opener.isolation),
        time_ns=time_ns,
    )


def _result(
    pair: _Pair, asked: _Asked, blocks: list[Block], *, noise: NoiseCertificate | None, warnings: tuple[str, ...]
) -> Interleaving:
    found = weigh(blocks)
    interval = found.interval(asked.level)
    low, high = (each if 0 < each < math.inf else None for each in (interval.low, interval.high))
    numeric = pair.numeric
    assert numeric is not None, "the first round compares outputs"
    job = pair.job
    return Interleaving(
        task=job.task,
        batch_size=asked.batch_size,
        figure=f"{asked.figure} latency",
        queries=pair.queries,
        a=attrs.evolve(pair.contenders["a"], time_ns=_middle([each.a_ns for each in blocks])),
        b=attrs.evolve(pair.contenders["b"], time_ns=_middle([each.b_ns for each in blocks])),
        speed=math.exp(found.contrast.estimate),
        low=low,
        high=high,
        level=asked.level,
        equivalence=asked.equivalence,
        decision=found.decision(level=asked.level, equivalence=asked.equivalence),
        p_difference=found.contrast.p_difference(),
        p_equivalence=_p_equivalence(found, asked),
        equal_outputs=numeric.passed,
        outputs=_told(numeric),
        units=found.units,
        about=found.about,
        blocks=tuple(blocks),
        noise=noise,
        warnings=warnings,
    )


def _p_equivalence(found: Weighed, asked: _Asked) -> float:
    return found.contrast.p_equivalence(math.log1p(asked.equivalence))


def _middle(times_ns: list[float]) -> float:
    return math.exp(float(np.mean(np.log(times_ns))))


def _told(numeric: NumericResult) -> str:
    worst = [each.max_rel for each in numeric.outputs.values() if each.max_rel is not None]
    size = f"max|d| / max|a| = {max(worst):.2g}" if worst else "nothing to compare"
    return "; ".join([size, *numeric.reasons])
