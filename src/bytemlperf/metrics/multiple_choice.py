"""Accuracy of a language model on multiple-choice questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.labels import CHOICE, CHOICES
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Metrics
from bytemlperf.metrics.perplexity import SCORES, scores, token_logits
from bytemlperf.metrics.shares import share_estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_DEFINITION: Final = (
    "share of questions for which, of the tokens A, B, C and D, the right one is the likeliest after the prompt "
    "(the first of equals); exact binomial interval"
)


@attrs.frozen(kw_only=True)
class MultipleChoiceState:
    """Counts so far.

    Attributes:
        n: Questions.
        right: Those answered rightly.
    """

    n: int = 0
    right: int = 0


class MultipleChoice:
    """Share of questions whose right answer's letter is the likeliest of the four; a NaN among them is wrong.

    Attributes:
        name: `multiple_choice`.
        higher_is_better: True.
    """

    def __init__(self) -> None:
        """Take no options."""
        self.name = "multiple_choice"
        self.higher_is_better = True

    def initial(self) -> MultipleChoiceState:
        """Return the state before the first question."""
        return MultipleChoiceState()

    def update(self, state: MultipleChoiceState, outputs: Mapping[str, Array], labels: Array) -> MultipleChoiceState:
        """Return the state after more questions.

        Args:
            state: From `initial` or `update`.
            outputs: `logits` [n, seq_len, vocabulary], or one output of any name; or `log_likelihood` [n, 4].
            labels: [n] of dtype `CHOICE`.

        Raises:
            MalformedOutputError: If there are no such logits.
            DatasetError: If labels are none of questions.
        """
        right = self.right(outputs, labels)
        return MultipleChoiceState(n=state.n + len(right), right=state.right + int(right.sum()))

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which questions are answered rightly.

        Raises:
            MalformedOutputError: As `update`.
            DatasetError: As `update`.
        """
        questions = np.asarray(labels)
        if questions.dtype != CHOICE or questions.ndim != 1:
            raise DatasetError("labels are none of questions", got=str(questions.dtype), expected=str(CHOICE))
        if SCORES in outputs:
            return _likeliest(scores(outputs, len(questions)), questions)
        lengths = {array.shape[1] for array in outputs.values() if array.ndim == 3}  # noqa: PLR2004 - [n, seq_len, vocabulary]
        logits = token_logits(outputs, (len(questions), max(lengths, default=0)))
        _check_places(questions, logits.shape)
        rows = np.arange(len(questions))[:, np.newaxis]
        chosen = logits[rows, questions["position"][:, np.newaxis], questions["choices"]]
        return _likeliest(chosen, questions)

    def compute(self, state: MultipleChoiceState) -> Metrics:
        """Return `accuracy/multiple_choice`."""
        return Metrics({"accuracy/multiple_choice": share_estimate(state.right, state.n, _DEFINITION)})


def _likeliest(chosen: NDArray[np.floating], questions: NDArray[np.void]) -> NDArray[np.bool_]:
    """Return for which questions the right one of the four is the largest; a NaN among them is wrong."""
    if chosen.shape[1] != CHOICES:
        raise MalformedOutputError("there is no score for each choice", got=chosen.shape, expected=f"[n, {CHOICES}]")
    right: NDArray[np.bool_] = chosen.argmax(axis=1) == questions["answer"]
    right &= ~np.isnan(chosen).any(axis=1)
    return right


def _check_places(questions: NDArray[np.void], shape: tuple[int, ...]) -> None:
    for field, bound in (("position", shape[1]), ("choices", shape[2])):
        values = questions[field]
        if values.size and not 0 <= values.min() <= values.max() < bound:
            raise MalformedOutputError(
                f"the logits do not reach a question's {field}", got=shape, expected=f"more than {values.max()}"
            )
