"""Which operator is the first whose result is wrong: prefixes of the model, run through the backend itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
import numpy as np

from bytemlperf.artifact import ModelArtifact
from bytemlperf.conversion import convert, targets
from bytemlperf.conversion.cutting import Cuts, Operator
from bytemlperf.datasets import batches
from bytemlperf.errors import BenchmarkError, CancelledError, HarnessError
from bytemlperf.evaluation.answers import ask_once
from bytemlperf.evaluation.reference import twin_in_torch
from bytemlperf.evaluation.subject import Subject
from bytemlperf.evaluation.workbench import Opener, Workbench
from bytemlperf.failure import error_of
from bytemlperf.metrics import OutputDifference, compare
from bytemlperf.metrics.numeric import said
from bytemlperf.registry import backends
from bytemlperf.sample import Array
from bytemlperf.spec import DType, Format

EVALUATORS: Final = {Format.ONNX: ("onnx-reference", None), Format.TORCH: ("torch", DType.FLOAT64)}
"""What prefixes are compared with, and in which precision: ONNX's own evaluator, or torch in float64."""


@attrs.frozen(kw_only=True)
class Divergence:
    """The first operator whose result is wrong although what it takes is right.

    Attributes:
        operator: Type and name, such as `Conv '/layer1/conv1'`.
        tensor: What it makes, by the file's name.
        found: How that lies beside the reference, in words.
        inputs: How what it takes lies beside the reference, in words; empty where that is the model's inputs alone.
        compiles: Prefixes that were compiled to find it.
        reference: What the prefixes were compared with.
        twin: Model whose prefixes were run in the place of the model's own, with the same weights; empty for its own.
    """

    operator: str
    tensor: str
    found: str
    inputs: str
    compiles: int
    reference: str
    twin: str = ""

    def __str__(self) -> str:
        """Write the finding as a sentence without a full stop."""
        takes = (
            f"while what it takes agrees ({self.inputs})" if self.inputs else "and it takes the model's inputs alone"
        )
        of = f"its torch twin {self.twin!r}, which has the same weights" if self.twin else "the model"
        return (
            f"the first operator that diverges is {self.operator}: its result {self.tensor!r} is wrong ({self.found}), "
            f"{takes}; compared with {self.reference} over {self.compiles} prefixes of {of}"
        )


def first_true(count: int, holds: Callable[[int], bool]) -> int:
    """Return the smallest n in 1..count at which something begins to hold, by halving; it holds at `count`.

    Where it holds, stops and holds again, some n is returned at which it begins.

    Example:
        >>> first_true(100, lambda n: n >= 37)
        37
    """
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def locate(
    subject: Subject, batch_size: int, samples: Sequence[int], precision: DType, replica: int | None = None
) -> Divergence | str:
    """Find the first operator at which the backend under test diverges, for one batch of samples.

    The model is cut after an operator, and everything that is still needed behind the cut is compared; whether any of
    it is wrong decides on which side the search goes on. So there are about log2(operators) compiles, and two more:
    the whole model first, and at the end the whole model that also gives what the operator takes and makes, as a
    confirmation.

    Args:
        subject: What is evaluated; its own bench must be closed, as a device may have room for one model.
        batch_size: Samples in the batch.
        samples: Which: a full batch, such as that with the largest difference.
        precision: What the backend used.
        replica: The only one of several replicas that is asked; None for whichever is free.

    Returns:
        The finding; or why there is none, as a sentence.

    Raises:
        CancelledError: If the caller asks to stop.
        TimeLimitError: If the whole job's time is used up.
    """
    try:
        return _located(subject, batch_size, samples, precision, replica)
    except BenchmarkError as error:
        if _ends_the_job(error):
            raise
        return f"no operator can be named: a prefix of the model could not be run ({error.code}: {error})"


def _ends_the_job(error: BenchmarkError) -> bool:
    return isinstance(error, CancelledError) or error.limit == "total_s"


def _located(
    subject: Subject, batch_size: int, samples: Sequence[int], precision: DType, replica: int | None
) -> Divergence | str:
    source = _source(subject)
    if source is None:
        return f"no operator can be named: the backend takes {subject.artifact.format}, which cannot be cut"
    cuts = _cuts(source, batch_size)
    with subject.bench() as bench, _evaluator(subject, source) as evaluator:
        search = _Search(
            subject=subject,
            cuts=cuts,
            size=batch_size,
            samples=samples,
            precision=precision,
            replica=replica,
            bench=bench,
            evaluator=evaluator,
            twin="" if source.format is Format.ONNX or source is subject.original else source.name,
        )
        return search.run()


def _source(subject: Subject) -> ModelArtifact | None:
    """Return the model as it is cut; None where its prefixes could not be brought to the backend.

    In ONNX where the backend was given that, else as its torch recipe, or that of its twin where a conversion leads
    from there to what the backend takes.
    """
    original, formats = subject.original, frozenset(subject.description.formats)
    if original.format is Format.ONNX or (original.format not in formats and Format.ONNX in formats):
        return convert(original, frozenset({Format.ONNX}), folder=subject.session.scratch / "converted")
    if original.format is Format.TORCH:
        return original
    return twin_in_torch(subject) if targets(Format.TORCH) & formats else None


def _cuts(source: ModelArtifact, batch_size: int) -> Cuts:
    """Load what cuts a format, and its framework with it, only where it is needed."""
    if source.format is Format.ONNX:
        from bytemlperf.conversion.onnx_cutting import OnnxCuts

        return OnnxCuts(source, batch_size=batch_size)
    from bytemlperf.conversion.torch_cutting import TorchCuts

    return TorchCuts(source, batch_size=batch_size)


def _evaluator(subject: Subject, artifact: ModelArtifact) -> Workbench:
    """Return a bench of what prefixes are compared with; nothing is started yet."""
    session = subject.session
    folder = session.scratch / "locating-reference"
    folder.mkdir(exist_ok=True)
    name, precision = EVALUATORS[artifact.format]
    return Workbench(
        Opener(reference=backends.find(name).reference, folder=folder),
        artifact=artifact,
        options={"work_dir": str(folder / "work"), "precision": precision},
        watch=session.own_watch,
        on_trouble=lambda problem: session.warn("crash_at_exit", f"the reference's worker: {problem}"),
        max_crashes=0,
    )


@attrs.define(kw_only=True)
class _Search:
    """One search, with both benches open."""

    _subject: Subject
    _cuts: Cuts
    _size: int
    _samples: Sequence[int]
    _precision: DType
    _replica: int | None
    _bench: Workbench
    _evaluator: Workbench
    _twin: str
    _compiles: int = 0

    def run(self) -> Divergence | str:
        count = len(self._cuts.operators)
        if not count or not self._is_wrong(count):
            return (
                f"no operator can be named: asked for {self._size} samples alone, the backend answers right, so that "
                "the fault depends on the batch's size, on load, or on what was asked before"
            )
        return self._confirmed(first_true(count, self._is_wrong))

    def _is_wrong(self, count: int) -> bool:
        """Whether anything is wrong of what is needed behind the first `count` operators."""
        tensors = self._cuts.live_after(count)
        return any(each.passed is False for each in self._compared(tensors).values()) if tensors else False

    def _confirmed(self, count: int) -> Divergence | str:
        """Compare what the operator takes and makes within the whole model."""
        operator = self._cuts.operators[count - 1]
        takes = [name for name in operator.inputs if self._cuts.is_made(name) and self._cuts.is_comparable(name)]
        makes = [name for name in operator.outputs if self._cuts.is_comparable(name)]
        ends = self._cuts.live_after(len(self._cuts.operators))
        found = self._compared(list(dict.fromkeys([*takes, *makes, *ends])))
        wrong = next((name for name in makes if found[name].passed is False), None)
        if wrong is None or any(found[name].passed is False for name in takes):
            return (
                f"cut into prefixes, the model begins to be wrong at {operator}, but within the whole model it is not "
                "that operator: the fault lies in operators that are fused, or in how answers are handed out"
            )
        if not takes and (why := self._hands_on_wrongly(operator)):
            return why
        return Divergence(
            operator=str(operator),
            tensor=wrong,
            found=said(found[wrong]),
            inputs="; ".join(f"{name}: {said(found[name])}" for name in takes),
            compiles=self._compiles,
            reference=self._evaluator.description.name,
            twin=self._twin,
        )

    def _hands_on_wrongly(self, operator: Operator) -> str:
        """Say what comes of a model without operators, of the inputs that an operator takes; nothing if it is right.

        Where the first operator alone is wrong, only this tells whether it, or all that comes and goes, is.
        """
        inputs = [name for name in operator.inputs if self._cuts.is_comparable(name)]
        try:
            found = self._compared(inputs) if inputs else {}
        except BenchmarkError as error:  # such as a backend that takes no model without operators
            if _ends_the_job(error):
                raise
            return ""
        wrong = "; ".join(f"{name}: {said(each)}" for name, each in found.items() if each.passed is False)
        return wrong and (
            f"no operator can be named: cut into prefixes, the model begins to be wrong at {operator}, and a model "
            f"that only hands on what that takes is wrong too ({wrong}): the fault lies in how inputs are handed in or "
            "answers out, or in what was asked before"
        )

    def _compared(self, tensors: Sequence[str]) -> Mapping[str, OutputDifference]:
        """Run one prefix on both sides; return the difference of each of its tensors."""
        self._compiles += 1
        folder = self._subject.session.scratch / f"cut-{self._compiles:03d}"
        cut = self._cuts.cut(tensors, folder / "reference")
        self._evaluator.take(cut, work_dir=folder / "reference-work")
        right = self._answers(self._evaluator, cut, replica=None)
        shapes = {name: each.shape for name, each in zip(tensors, right.values(), strict=True)}
        cut = self._cuts.cut(tensors, folder / "backend", shapes=shapes)
        given = convert(cut, frozenset(self._subject.description.formats), folder=folder / "converted")
        self._bench.take(given, work_dir=folder / "backend-work", rewrite=True)
        result = compare(
            self._answers(self._bench, cut, replica=self._replica),
            right,
            specs=cut.spec.outputs,
            precision=self._precision,
            independent=True,
            reference_name="the same prefix",
            tolerance=self._subject.session.job.acceptance.tolerance,
        )
        return dict(zip(tensors, result.outputs.values(), strict=True))

    def _answers(self, bench: Workbench, cut: ModelArtifact, *, replica: int | None) -> Mapping[str, Array]:
        info = bench.compile(self._size).info
        asked = batches(
            self._subject.data.loader,
            cut.spec.inputs,
            np.asarray(self._samples, np.int64),
            batch_size=self._size,
            engine_inputs=info.inputs,
        )
        recording = ask_once(bench, asked, step="prefix", replica=replica)
        if recording.failures:
            raise error_of(recording.failures[0])
        answer = recording.answers.get(0, {})
        missing = [tensor.name for tensor in cut.spec.outputs if tensor.name not in answer]
        if missing:
            raise HarnessError("a prefix of the model did not give what it was cut at", got=sorted(answer))
        return {tensor.name: answer[tensor.name] for tensor in cut.spec.outputs}
