"""Whether answers taken from a timed run are those of an accuracy run, at the speed that was reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.evaluation.answers import over_samples
from bytemlperf.evaluation.faster import Speedup, speedup, threshold_for
from bytemlperf.evaluation.integrity import LEVEL, Case, Tested, Untested
from bytemlperf.evaluation.masks import masks_of
from bytemlperf.failure import error_of
from bytemlperf.metrics import Estimate, Metrics, NumericResult, compare, merged, tolerance_of
from bytemlperf.sample import Array
from bytemlperf.scenarios import Offline, Plan, Warmup
from bytemlperf.spec import Axis, DType, TensorSpec
from bytemlperf.statistics import mean_log_ratio
from bytemlperf.trace import Trace
from bytemlperf.worker import Answers, Recording, Series
from bytemlperf.workload import Asked

if TYPE_CHECKING:
    from bytemlperf.evaluation.performing import Timed
    from bytemlperf.evaluation.subject import Subject
    from bytemlperf.evaluation.workbench import Workbench

SAMPLED: Final = 64
"""Answers that are taken from a timed run."""
ATTEMPTS: Final = 3
"""Pairs of runs, sampled and not, before it is left open whether their speed is the same."""
SCORE_MARGIN: Final = 0.01
"""By what share of itself a score may differ where outputs do.

Source: compliance/TEST01/README.md, mlcommons/inference at b66003e, for a target of 99 %.
"""
_STREAM: Final = 0x5A3D
"""Keeps the choice of answers apart from the other random streams of a seed."""
_DEFINITION: Final = (
    "mean latency of the run / mean latency of the same run while answers are taken, in one process; interval by "
    "Student's t on logarithms, with neighbours' likeness allowed for; for Offline the ratio of the whole times"
)


def sampled_accuracy(subject: Subject, timed: Timed, bench: Workbench, case: Case) -> Tested | Untested:
    """Take answers from a timed run and hold them against those of an accuracy run before it, in the same process.

    Which answers are taken is drawn before the run; the backend cannot know. Source: MLPerf's TEST01.

    Raises:
        BenchmarkError: If a query failed, or an answer is none of the model's.
    """
    if subject.session.job.asked is not Asked.FORWARD:
        return Untested(reason="tokens and scores are compared with the reference by the check 'numeric'")
    series = timed.series(bench, case.batch_size, case.scenario)
    chosen = _chosen(len(series.plan.batch), seed=subject.session.job.seed)
    asked = np.unique(series.plan.batch[chosen])
    expected = dict(zip(asked.tolist(), _accuracy_run(bench, series, asked), strict=True))
    sampled = _whole(bench.issue(attrs.evolve(series, sampled=chosen, step=case.key(subject))))
    there = [int(query) for query in chosen if int(query) in sampled.answers]
    if not there:
        return Untested(reason="the run ended before any of the answers that were to be taken")
    of_batch = series.plan.batch[there]
    taken = _Answered(subject, series, of_batch, [sampled.answers[query] for query in there])
    right = _Answered(subject, series, of_batch, [expected[int(index)] for index in of_batch])
    answers = _compared(taken, right, precision=bench.compile(case.batch_size).info.precision)
    return _joined(answers, _speed(bench, series, sampled, case))


def _chosen(records: int, *, seed: int) -> NDArray[np.int64]:
    """Draw which answers are taken."""
    rng = np.random.default_rng((seed, _STREAM))
    return np.sort(rng.choice(records, size=min(SAMPLED, records), replace=False))


def _whole(recording: Recording) -> Recording:
    if recording.failures:
        raise error_of(recording.failures[0])
    return recording


def _accuracy_run(bench: Workbench, series: Series, asked: NDArray[np.int64]) -> list[Mapping[str, Array]]:
    """Ask for some batches once, without a clock, and return the answers in that order."""
    plan = Plan(batch=asked, warmup=Warmup(max_queries=0))
    answers = _whole(bench.issue(attrs.evolve(series, plan=plan, keep=True, step="answers to compare"))).answers
    return [answers[index] for index in range(len(asked))]


class _Answered:
    """Answers to some batches, laid out by samples."""

    def __init__(
        self, subject: Subject, series: Series, index: NDArray[np.int64], answers: Sequence[Mapping[str, Array]]
    ) -> None:
        batches = series.batches
        asked = attrs.evolve(batches, inputs={}, padding=batches.padding[index], samples=batches.samples[index])
        if series.batching is not None:
            answers = [_first(answer, subject.original.spec.outputs) for answer in answers]
        self.subject = subject
        self.samples = [int(number) for number in asked.samples.ravel() if number >= 0]
        kept = Answers(parts={number: [answer] for number, answer in enumerate(answers)})
        self.outputs = over_samples(kept, asked, subject.original.spec.outputs)

    def scores(self) -> dict[str, float]:
        """Return each score of the answers; none where nobody knows what is right."""
        labels = self.subject.data.loader.labels(self.samples) if self.subject.data.metrics else None
        if labels is None:
            return {}
        found: dict[str, float] = {}
        for metric in self.subject.data.metrics.values():
            figures = metric.compute(metric.update(metric.initial(), self.outputs, labels))
            found |= {each: figure.value for each, figure in figures.items() if figure.value is not None}
        return found


def _first(answer: Mapping[str, Array], outputs: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """Return the answer to the first sample of a call, under which the answer to all of it is kept."""
    known = {tensor.name: tensor for tensor in outputs}
    return {name: _sample(array, known[name]) if name in known else array for name, array in answer.items()}


def _sample(array: Array, tensor: TensorSpec) -> Array:
    axis = tensor.batch_axis
    if axis is None or array.ndim <= axis:
        return array
    grown = tensor.shape[axis]
    return array.take(range(grown.times if isinstance(grown, Axis) else 1), axis=axis, mode="clip")


def _compared(taken: _Answered, right: _Answered, *, precision: DType) -> Tested:
    """Compare answers; where they differ, compare their scores, as MLPerf allows."""
    spec = taken.subject.original.spec
    result = compare(
        taken.outputs,
        right.outputs,
        specs=spec.outputs,
        precision=precision if tolerance_of(precision).value is not None else DType.FLOAT32,
        valid=masks_of(taken.subject, taken.samples),
        independent=True,
        reference_name="the accuracy run",
    )
    n = len(taken.samples)
    metrics = merged([Metrics({"integrity/answers": _count(n, "samples whose answers were taken")}), _worst(result)])
    if result.passed:
        return Tested(metrics=metrics, passed=True, note=f"{n} answers are those of the accuracy run")
    differing, scores = _differing(taken.scores(), right.scores())
    if scores and not differing:
        note = (
            f"answers differ ({'; '.join(result.reasons)}), and no score of {n} by more than {100 * SCORE_MARGIN:g} %"
        )
        return Tested(metrics=metrics, passed=True, note=note)
    reasons = "; ".join([*result.reasons, *differing])
    return Tested(metrics=metrics, passed=False, note=f"answers are not those of the accuracy run: {reasons}")


def _differing(taken: Mapping[str, float], right: Mapping[str, float]) -> tuple[list[str], int]:
    """Return how scores differ that differ too much, and how many scores there are."""
    told = [
        f"{name} is {taken[name]:.6g}, and {value:.6g} in the accuracy run"
        for name, value in right.items()
        if abs(taken[name] - value) > SCORE_MARGIN * abs(value)
    ]
    return told, len(right)


def _worst(result: NumericResult) -> Metrics:
    return Metrics(
        {
            f"integrity/{name.removeprefix('numeric/')}": each
            for name, each in result.metrics.items()
            if name.endswith("/max_rel")
        }
    )


def _count(n: int, definition: str) -> Estimate:
    return Estimate(value=n, unit="samples", n=n, definition=definition, note="a count")


def _speed(bench: Workbench, series: Series, sampled: Recording, case: Case) -> Tested:
    """Hold the sampled run's speed against that of the same run without sampling, until one pair of runs agrees."""
    found: Tested | None = None
    for attempt in range(ATTEMPTS):
        if attempt:
            sampled = _whole(bench.issue(attrs.evolve(series, sampled=np.zeros(0, np.int64))))
        plain = _whole(bench.issue(series))
        found = _compared_speed(plain.trace, sampled.trace, case)
        if found.passed:
            break
    assert found is not None, "there is at least one attempt"
    return found


def _compared_speed(plain: Trace, sampled: Trace, case: Case) -> Tested:
    ratio = _ratio(plain, sampled, case)
    threshold = threshold_for(case.scenario, float(plain.latency_ns.mean()))
    return Tested(
        metrics=Metrics({"integrity/speed_while_sampled": ratio.estimate(_DEFINITION, LEVEL)}),
        passed=_within(ratio, threshold),
        note=f"speed while answers were taken: {ratio.value:.3f} of the run's [{ratio.low:.3f}, {ratio.high:.3f}]; "
        f"MLPerf's TEST01 allows {100 * threshold:.0f} %",
    )


def _ratio(plain: Trace, sampled: Trace, case: Case) -> Speedup:
    n = int(min(plain.answered.sum(), sampled.answered.sum()))
    if isinstance(case.scenario, Offline):  # one time of one query tells nothing of how much such times vary
        value = float(plain.latency_ns.max() / max(int(sampled.latency_ns.max()), 1))
        return Speedup(value=value, low=value, high=value, n=1)
    return speedup(mean_log_ratio(_some(sampled), _some(plain)), n=n, level=LEVEL)


def _some(trace: Trace) -> NDArray[np.int64]:
    """Return latencies, none of them 0."""
    return np.maximum(trace.latency_ns, 1)


def _within(ratio: Speedup, threshold: float) -> bool | None:
    return True if 1 - threshold <= ratio.low and ratio.high <= 1 + threshold else None


def _joined(answers: Tested, speed: Tested) -> Tested:
    """Answers that are wrong fail. Another speed leaves it open: no backend can know whose answers are taken."""
    return Tested(
        metrics=merged([answers.metrics, speed.metrics]),
        passed=answers.passed and speed.passed,
        note=f"{answers.note}; {speed.note}",
    )
