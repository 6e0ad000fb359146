"""Answers taken from timed runs, held against the reference: a figure of wrong answers is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.axes import join_samples, split_samples
from bytemlperf.errors import BenchmarkError, NonFiniteError, NumericMismatchError
from bytemlperf.evaluation.answers import answer_bytes
from bytemlperf.evaluation.calls import Call, Flight, call_at
from bytemlperf.evaluation.finiteness import Finiteness
from bytemlperf.evaluation.rightoutputs import RightOutputs
from bytemlperf.evaluation.subject import Subject
from bytemlperf.metrics import NumericResult, NumericState, tolerance_of
from bytemlperf.report import Row
from bytemlperf.sample import Array, Forward
from bytemlperf.scenarios import Plan
from bytemlperf.spec import DType, TensorSpec
from bytemlperf.trace import Trace
from bytemlperf.worker import Recording, Series, replicas_of

ANSWERS: Final = 32
"""Answers that are taken from a timed run of each replica, or calls where samples are joined into them."""
FEWEST: Final = 2
"""Taken of each replica however large they are: one answer could be right by being the last one."""
MOST_BYTES: Final = 32 * 2**20
"""Bound of what is copied from a run's answers beyond those."""
MARGIN: Final = 4
"""Times the distance that the same samples had without a clock, where that is beyond the precision's own bound."""
DEPTH: Final = "depth"
"""Label of a row: calls that were under way at once, at most."""
REPLICAS: Final = "replicas"
"""Label of a row: of several replicas of a model, how many answered."""
MOST_BEYOND: Final = 0.01
"""Share of a run's calls that may be sent deeper than any compared answer, before that is told."""
_STREAM: Final = 0x71A3
"""Keeps the choice of answers apart from the other random streams of a seed."""


@attrs.frozen(kw_only=True)
class Checked:
    """What was found of the answers of one timed run.

    Attributes:
        samples: Samples that were compared.
        flight: How many calls of the run were under way at once.
        depth: The most that were at the times at which an answer that was compared was on its way.
        replicas: Replicas that answered in the run.
        replicas_compared: Those that gave an answer that was compared.
        error: What is wrong with them; None where nothing is.
    """

    samples: int
    flight: Flight
    depth: int = 0
    replicas: frozenset[int] = frozenset()
    replicas_compared: frozenset[int] = frozenset()
    error: BenchmarkError | None = None

    def with_rows(self, path: Row | None, alone: frozenset[int]) -> Checked:
        """Count in what was compared without a clock.

        Args:
            path: The numeric row of the same path, if there is one.
            alone: Replicas that have a numeric row of their own.
        """
        depth = 0 if path is None else path.labels.get(DEPTH)
        reached = min(self.flight.most, max(self.depth, depth if isinstance(depth, int) else 0))
        return attrs.evolve(self, depth=reached, replicas_compared=self.replicas_compared | (alone & self.replicas))

    @property
    def gaps(self) -> dict[str, str]:
        """What of the timed path no compared answer has seen, by the code of a warning."""
        found, beyond = {}, self.flight.beyond(self.depth)
        if beyond > MOST_BEYOND:
            found["depth_not_checked"] = (
                f"{100 * beyond:.2g} % of the calls were sent when more were under way than when any answer that was "
                f"compared was: up to {self.flight.most}, and {self.depth}"
            )
        missing = sorted(self.replicas - self.replicas_compared)
        if missing:
            found["replica_not_checked"] = f"of replicas {missing}, which were timed, no answer was compared"
        return found


class TimedAnswers:
    """Chooses which answers of a timed run are taken, and judges them.

    Args:
        subject: What is evaluated.
        right: What the reference answers to the first samples.
    """

    def __init__(self, subject: Subject, right: RightOutputs) -> None:
        """Choose nothing yet."""
        self._subject, self._right = subject, right

    def chosen(self, series: Series) -> NDArray[np.int64] | None:
        """Draw whose answers are taken: records of the plan, int64[k], of as many different batches as can be.

        Only those with a sample that the reference has answered too. Where samples are joined into calls, every record
        that may begin the call of a drawn one is among them.

        Returns:
            The records; None where the answers are no outputs that could be compared.
        """
        batches = series.batches
        if batches.asks or not isinstance(batches.ask, Forward):
            return None
        known: NDArray[np.bool_] = np.any((batches.samples >= 0) & (batches.samples < self._right.count), axis=1)
        records = np.flatnonzero(known[series.plan.batch])
        width = 1 if series.batching is None else series.batching.size
        drawn = _drawn(records, series.plan, seed=self._subject.session.job.seed)[: self._most(series)]
        reach = drawn[:, None] - np.arange(width)
        return np.unique(reach[reach >= 0])

    def _most(self, series: Series) -> int:
        """Return how many may be drawn: of each replica as many, as a record's call may be any that has a sample of it.

        Which replica answers is not known before: where R take equal shares, one of them is missed with the chance
        (1 - 1/R)^(32 R), which is less than 2e-14.
        """
        size = series.batches.size if series.batching is None else series.batching.size
        calls = 1 if series.batching is None else size
        replicas = replicas_of(self._subject.description, self._subject.session.job.devices)
        each = answer_bytes(self._subject.original.spec.outputs, size)
        return replicas * max(FEWEST, min(ANSWERS, MOST_BYTES // max(1, each * calls * replicas)))

    def judged(self, series: Series, recording: Recording, *, precision: DType, untimed: Mapping[str, Row]) -> Checked:
        """Hold what was taken from a run against the reference.

        It must be as near as the precision allows, or else as near as the answers that the backend gave without a
        clock: what was wrong there already is told there.

        Args:
            series: What was issued.
            recording: What came of it.
            precision: What the backend used.
            untimed: The numeric rows of the same batch size, by key.
        """
        state, taken = self._state(precision), _Taken(recording.trace)
        finiteness = Finiteness(self._subject, self._right)
        try:
            for call in self._calls(series, recording, precision):
                mine = (call.samples >= 0) & (call.samples < self._right.count)
                if mine.any():
                    taken.add(call, int(mine.sum()))
                    self._compare(state, call, mine)
                    finiteness.add(call.samples.tolist(), call.outputs)
        except BenchmarkError as error:
            return taken.told(error)
        allowed = self._subject.session.job.acceptance.tolerance or 0.0
        far = largest(untimed, "max_rel")
        least = {spec.name: max(allowed, MARGIN * far.get(spec.name, 0.0)) for spec in self._right.specs}
        result = state.compute(least=least)
        ignored = largest(untimed, "unmatched")
        beyond = finiteness.error("answers that were given while timed", ignored=ignored)
        return taken.told(_error(result, ignored=ignored) or beyond)

    def _state(self, precision: DType) -> NumericState:
        return NumericState(
            specs=self._right.specs,
            precision=precision if tolerance_of(precision).value is not None else DType.FLOAT32,
            independent=True,  # that it is the same runtime does not matter: only the clock makes the difference
            reference_name=self._right.reference.name,
        )

    def _compare(self, state: NumericState, call: Call, mine: NDArray[np.bool_]) -> None:
        specs, samples = self._subject.original.spec.outputs, call.samples[mine]
        outputs = {spec.name: _of_samples(call.outputs[spec.name], spec, mine) for spec in specs}
        state.update(self._right.seen(outputs, samples), self._right.of(samples), self._right.valid(samples))

    def _calls(self, series: Series, recording: Recording, precision: DType) -> Iterator[Call]:
        """Go through the answers that were taken, each checked for its shape and type.

        Raises:
            MalformedOutputError: If an answer is none of the model's.
        """
        specs, pads = self._subject.original.spec.outputs, not self._subject.takes_every_batch
        for first in recording.answers:
            if recording.trace.answered[first]:
                yield call_at(series, recording, first, specs, pads=pads, precision=precision)


class _Taken:
    """Counts what was compared of a run."""

    def __init__(self, trace: Trace) -> None:
        self._trace, self._samples = trace, 0
        self._records: list[int] = []

    def add(self, call: Call, samples: int) -> None:
        self._records.append(call.first)
        self._samples += samples

    def told(self, error: BenchmarkError | None) -> Checked:
        flight, records = Flight.of(self._trace), np.array(self._records, np.int64)
        return Checked(
            samples=self._samples,
            flight=flight,
            depth=flight.during(self._trace, records),
            replicas=frozenset(self._trace.replica[self._trace.answered].tolist()),
            replicas_compared=frozenset(self._trace.replica[records].tolist()),
            error=error,
        )


def _drawn(records: NDArray[np.int64], plan: Plan, *, seed: int) -> NDArray[np.int64]:
    """Put records into a random order, those of a batch that none before has first.

    Of a run that may end early, each tenfold of its length has as many of the first ones.
    """
    keys = np.random.default_rng((seed, _STREAM)).exponential(size=len(records))
    if plan.stop.early:
        keys *= 1 + np.arange(len(records))
    ordered = records[np.argsort(keys, kind="stable")]
    _, first = np.unique(plan.batch[ordered], return_index=True)
    others = np.setdiff1d(np.arange(len(ordered)), first)
    drawn: NDArray[np.int64] = ordered[np.concatenate([np.sort(first), others])]
    return drawn


def _of_samples(array: Array, spec: TensorSpec, mine: NDArray[np.bool_]) -> Array:
    if spec.batch_axis is None:
        return array
    return join_samples(split_samples(array, spec, samples=len(mine))[mine], spec)


def largest(untimed: Mapping[str, Row], figure: str) -> dict[str, float]:
    """Return the largest figure of each output over some numeric rows; those of 0 and of no value are left out."""
    found: dict[str, float] = {}
    for row in untimed.values():
        for name, estimate in row.metrics.items():
            if name.endswith(f"/{figure}") and estimate.value:
                output = name.removeprefix("numeric/").removesuffix(f"/{figure}")
                found[output] = max(found.get(output, 0.0), estimate.value)
    return found


def _error(result: NumericResult, *, ignored: Mapping[str, float]) -> BenchmarkError | None:
    """Return what is wrong with the answers; outputs that had unmatched values without a clock are not judged."""
    wrong = [name for name, each in result.outputs.items() if each.passed is False and name not in ignored]
    if not wrong:
        return None
    reasons = "; ".join(text for text in result.reasons if text.partition(": ")[0] in wrong)
    kind = NonFiniteError if result.outputs[wrong[0]].non_finite.planted else NumericMismatchError
    error = kind(f"answers that were given while timed do not agree with {result.reference_name}: {reasons}")
    error.tensor = wrong[0]
    return error
