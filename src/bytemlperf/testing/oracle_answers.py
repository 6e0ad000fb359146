"""Answers made of labels, with errors planted: one way for each kind of label."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.axes import sample_shape
from bytemlperf.datasets.labels import CHOICE, IGNORED, PAIR, ImageTruth, QuestionWindow
from bytemlperf.errors import CompileError
from bytemlperf.metrics.squad_answers import answer_text, exact_match, f1_score
from bytemlperf.spec import ModelSpec, TensorSpec

if TYPE_CHECKING:
    from bytemlperf.sample import Array

SURE: Final = 0.9
"""Probability that the oracle gives to what it says happened: a click, or the next token."""
_LOUD: Final = 10.0
_LONGEST: Final = 30


class Answers(ABC):
    """Answers to samples by index; each output of one sample as float64 [times, *other axes]."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors.

        Args:
            spec: The model.
            labels: Of every sample.
            error_rate: Share of units (samples, questions, triplets, tokens, objects) that are answered wrongly.
            seed: Of their choice.

        Raises:
            CompileError: If the model has not the outputs that such labels are for.
        """
        self.labels = labels
        self._spec = spec
        self._rate = error_rate
        self._rng = np.random.default_rng(seed)

    @abstractmethod
    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return a sample's outputs by name; those that are left out are 0."""

    def planted(self, units: int) -> NDArray[np.bool_]:
        """Return bool[units], of which exactly round(error rate x units) are wrong."""
        wrong = np.zeros(units, np.bool_)
        wrong[self._rng.permutation(units)[: round(self._rate * units)]] = True
        return wrong

    def output(self, rank: int, *names: str) -> TensorSpec:
        """Return the output of one of these names, else the only one of that rank.

        Raises:
            CompileError: If there is none.
        """
        named = [tensor for tensor in self._spec.outputs if tensor.name in names]
        ranked = [tensor for tensor in self._spec.outputs if len(tensor.shape) == rank]
        found = named or ranked
        if len(found) != 1 or found[0].batch_axis is None:
            got = [f"{each.name}{[str(axis) for axis in each.shape]}" for each in self._spec.outputs]
            raise CompileError(
                "the oracle finds no output for these labels", got=got, expected=f"{names}, or one of rank {rank}"
            )
        return found[0]


class ClassAnswers(Answers):
    """Logits of classes: the label's is the largest, or the smallest."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among samples."""
        super().__init__(spec, labels, error_rate, seed)
        self._tensor = self.output(2, "logits", "logits_per_image")
        self._wrong = self.planted(len(labels))

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return 1 at the label, or -1 where the answer is wrong, and 0 elsewhere."""
        logits = np.zeros(sample_shape(self._tensor))
        logits[0, int(self.labels[index])] = -1.0 if self._wrong[index] else 1.0
        return {self._tensor.name: logits}


class ClickAnswers(Answers):
    """Probabilities of a click: 0.9 for what happened, 0.1 where the answer is wrong."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among clicks and among the others, of each the same share."""
        super().__init__(spec, labels, error_rate, seed)
        self._tensor = self.output(2, "probabilities")
        self._wrong = np.zeros(len(labels), np.bool_)
        for side in (0, 1):
            which = np.flatnonzero(labels == side)
            self._wrong[which] = self.planted(len(which))

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the probability of a click, after that of none where the model gives both."""
        click = SURE if bool(self.labels[index]) != bool(self._wrong[index]) else 1 - SURE
        shape = sample_shape(self._tensor)
        return {self._tensor.name: np.array([1 - click, click])[-math.prod(shape) :].reshape(shape)}


class TripletAnswers(Answers):
    """Scores of pairs: the more similar one has 1 and the other 0, or the other way round."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among triplets."""
        super().__init__(spec, labels, error_rate, seed)
        self._tensor = spec.outputs[0]
        triplets = np.unique(labels["triplet"])
        self._wrong = dict(zip(triplets.tolist(), self.planted(len(triplets)).tolist(), strict=True))

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return the pair's score."""
        label = self.labels[index]
        score = float(bool(label["similar"]) != self._wrong[int(label["triplet"])])
        return {self._tensor.name: np.full(sample_shape(self._tensor), score)}


class ChoiceAnswers(Answers):
    """Logits of the letters: the right one's is the largest, or the next one's."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among questions."""
        super().__init__(spec, labels, error_rate, seed)
        self._tensor = self.output(3, "logits")
        self._wrong = self.planted(len(labels))

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return 1 for a letter after the prompt, and 0 elsewhere."""
        label = self.labels[index]
        answer = (int(label["answer"]) + bool(self._wrong[index])) % len(label["choices"])
        logits = np.zeros(sample_shape(self._tensor))
        logits[0, int(label["position"]), int(label["choices"][answer])] = 1.0
        return {self._tensor.name: logits}


class TokenAnswers(Answers):
    """Logits of next tokens: the right one has the probability 0.9, or another one has."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among scored tokens."""
        super().__init__(spec, labels, error_rate, seed)
        self._tensor = self.output(3, "logits")
        self._wrong = np.zeros(labels.shape, np.bool_)
        scored = labels != IGNORED
        self._wrong[scored] = self.planted(int(scored.sum()))

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return logits at which one token of V has 0.9 and each other 0.1 / (V - 1)."""
        logits = np.zeros(sample_shape(self._tensor))
        vocabulary, positions = logits.shape[-1], np.flatnonzero(self.labels[index] != IGNORED)
        tokens = (self.labels[index][positions] + self._wrong[index][positions]) % vocabulary
        logits[0, positions, tokens] = math.log(SURE / (1 - SURE) * (vocabulary - 1))
        return {self._tensor.name: logits}


class QuestionAnswers(Answers):
    """Logits of spans: a right answer, or one that shares no word with any."""

    def __init__(self, spec: ModelSpec, labels: Array, error_rate: float, seed: int) -> None:
        """Plant errors among questions, and look for the spans.

        Raises:
            CompileError: If a question's answer is no span of tokens, or nothing else is.
        """
        super().__init__(spec, labels, error_rate, seed)
        windows: Sequence[QuestionWindow] = labels.tolist()
        questions = list(dict.fromkeys(window.question_id for window in windows))
        wrong = dict(zip(questions, self.planted(len(questions)).tolist(), strict=True))
        self._spans = [(_wrong_span if wrong[each.question_id] else _right_span)(each) for each in windows]
        answered = {each.question_id for each, span in zip(windows, self._spans, strict=True) if span is not None}
        if len(answered) < len(questions):
            missing = next(question for question in questions if question not in answered)
            raise CompileError("the oracle finds no span of tokens to answer with", got=missing)

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return 10 at the ends of the span, and 0 elsewhere."""
        length, span = len(self.labels[index].spans), self._spans[index]
        ends = np.zeros((2, length))
        if span is not None:
            ends[0, span[0]] = ends[1, span[1]] = _LOUD
        names = {tensor.name for tensor in self._spec.outputs}
        if {"start_logits", "end_logits"} <= names:
            return {"start_logits": ends[:1], "end_logits": ends[1:]}
        return {self.output(3, "logits").name: ends.T[np.newaxis]}


def _right_span(window: QuestionWindow) -> tuple[int, int] | None:
    tokens = np.flatnonzero(window.spans[:, 0] >= 0)
    for answer in window.answers:
        place = window.passage.find(answer)
        while place >= 0:
            inside = tokens[(window.spans[tokens, 1] > place) & (window.spans[tokens, 0] < place + len(answer))]
            if inside.size and window.may_start[inside[0]] and len(inside) <= _LONGEST:
                first, last = int(inside[0]), int(inside[-1])
                if exact_match(answer_text(window, first, last), window.answers):
                    return first, last
            place = window.passage.find(answer, place + 1)
    return None


def _wrong_span(window: QuestionWindow) -> tuple[int, int] | None:
    for token in np.flatnonzero(window.may_start).tolist():
        text = answer_text(window, token, token)
        if not exact_match(text, window.answers) and not f1_score(text, window.answers):
            return token, token
    return None


class BoxError(StrEnum):
    """What becomes of a detector's object that is answered wrongly."""

    MISSED = "missed"
    """Nothing is said of it."""
    CLASS = "class"
    """It is found at its place, as the next class."""
    PLACE = "place"
    """It is found in its class, its own width and height away: no part of it is where it should be."""


class BoxAnswers(Answers):
    """Candidates of a detector: every object, or something wrong in its place, of which the detector is surer."""

    def __init__(
        self, spec: ModelSpec, labels: Array, error_rate: float, seed: int, wrongly: BoxError = BoxError.MISSED
    ) -> None:
        """Plant errors among objects.

        Args:
            spec: The model.
            labels: Of every image.
            error_rate: Share of objects that are answered wrongly.
            seed: Of their choice.
            wrongly: What becomes of those.

        Raises:
            CompileError: If an image has more objects than the model has candidates.
        """
        super().__init__(spec, labels, error_rate, seed)
        self._tensor, self._wrongly = self.output(3, "output"), wrongly
        counts = [len(truth.boxes) for truth in labels]
        room = sample_shape(self._tensor)[1]
        if max(counts, default=0) > room:
            raise CompileError(
                "an image has more objects than the model has candidates", got=max(counts), expected=str(room)
            )
        self._wrong = np.split(self.planted(sum(counts)), np.cumsum(counts)[:-1])

    def of(self, index: int) -> Mapping[str, NDArray[np.float64]]:
        """Return a candidate for each object that is not missed, as YOLOv5's decoded output has them.

        Right ones have the score 0.9 and wrong ones 1, so that the wrong ones come first.
        """
        truth, wrong = self.labels[index], self._wrong[index]
        kept = np.flatnonzero(~wrong) if self._wrongly is BoxError.MISSED else np.arange(len(wrong))
        found = np.zeros(sample_shape(self._tensor))
        boxes, classes = self._said(truth, wrong)
        found[0, : len(kept), :4] = boxes[kept]
        found[0, : len(kept), 4] = np.where(wrong[kept], 1.0, SURE)
        found[0, np.arange(len(kept)), 5 + classes[kept]] = 1.0
        return {self._tensor.name: found}

    def _said(self, truth: ImageTruth, wrong: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return boxes [n, 4] (centre, width and height in the model's image) and classes [n]."""
        boxes, classes = truth.boxes * truth.scale, truth.categories.copy()
        boxes[:, :2] += boxes[:, 2:] / 2 + np.array([truth.left, truth.top])
        if self._wrongly is BoxError.PLACE:
            boxes[wrong, :2] += boxes[wrong, 2:]
        if self._wrongly is BoxError.CLASS:
            classes[wrong] = (classes[wrong] + 1) % (sample_shape(self._tensor)[2] - 5)
        return boxes, classes


def answers_of(
    spec: ModelSpec,
    labels: Array,
    error_rate: float,
    *,
    seed: int = 0,
    metrics: Sequence[object] = (),
    box_errors: BoxError = BoxError.MISSED,
) -> Answers:
    """Return the answers for a kind of labels.

    Args:
        spec: The model.
        labels: Of every sample.
        error_rate: Share of units that are answered wrongly, 0 to 1.
        seed: Of their choice.
        metrics: Names of the metrics that the labels are for; tells clicks from classes.
        box_errors: What becomes of objects that are answered wrongly.

    Raises:
        CompileError: If the model has not the outputs that such labels are for.
    """
    kind = _kind(labels, metrics)
    if issubclass(kind, BoxAnswers):
        return kind(spec, labels, error_rate, seed, box_errors)
    return kind(spec, labels, error_rate, seed)


def _kind(labels: Array, metrics: Sequence[object]) -> type[Answers]:
    by_dtype: dict[np.dtype[np.void], type[Answers]] = {PAIR: TripletAnswers, CHOICE: ChoiceAnswers}
    if labels.dtype in by_dtype:
        return by_dtype[labels.dtype]
    if labels.dtype == object:
        return QuestionAnswers if isinstance(labels[0], QuestionWindow) else BoxAnswers
    if labels.ndim > 1:
        return TokenAnswers
    return ClickAnswers if "log_loss" in metrics else ClassAnswers
