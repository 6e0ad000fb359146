"""Perplexity of a language model over a text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.labels import IGNORED
from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Estimate, Metrics, joined
from bytemlperf.metrics.pairs import numbers
from bytemlperf.metrics.units import OfSums, Units
from bytemlperf.statistics import bootstrap_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bytemlperf.sample import Array

SCORES: Final = "log_likelihood"
"""Output in which a backend that scores tells how likely spans are."""
_CHUNK_BYTES: Final = 32 * 2**20
_DEFINITION: Final = (
    "exp of the mean of -log p(token) over all scored tokens of the text, in float64, each token scored once; "
    "bootstrap interval over the windows of the text"
)


@attrs.frozen(kw_only=True)
class PerplexityState:
    """Sums so far.

    Attributes:
        parts: Of each update, float64[windows, 2]: sum of -log p in nats, and number of scored tokens.
        not_finite: Scored tokens whose -log p is no finite number.
    """

    parts: tuple[NDArray[np.float64], ...] = ()
    not_finite: int = 0


def _of_sums(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    figures: NDArray[np.float64] = np.exp(sums[:, 0] / sums[:, 1])
    return figures


class Perplexity:
    """Perplexity over the tokens of a text, not of what the model itself wrote.

    Labels say for each position which token comes next, -100 where none is scored. A token with a NaN or an infinite
    -log p leaves the figure without a value: no finite number would tell the truth.

    Attributes:
        name: `perplexity`.
        higher_is_better: False.
        figures: It is exp of a ratio of sums over windows.

    Example:
        >>> metric = Perplexity()
        >>> state = metric.update(metric.initial(), {"logits": np.zeros((1, 3, 50))}, np.array([[4, 9, -100]]))
        >>> round(metric.compute(state)["accuracy/perplexity"].value, 9)
        50.0
    """

    figures: ClassVar[Mapping[str, OfSums]] = {"accuracy/perplexity": OfSums(_of_sums)}

    def __init__(self) -> None:
        """Take no options."""
        self.name = "perplexity"
        self.higher_is_better = False

    def initial(self) -> PerplexityState:
        """Return the state before the first window."""
        return PerplexityState()

    def update(self, state: PerplexityState, outputs: Mapping[str, Array], labels: Array) -> PerplexityState:
        """Return the state after more windows.

        Args:
            state: From `initial` or `update`.
            outputs: `logits` [n, seq_len, vocabulary], or one output of any name; or `log_likelihood` [n, spans], of
                all scored tokens of each window together.
            labels: Next tokens, whole numbers [n, seq_len]; -100 where none is scored.

        Raises:
            MalformedOutputError: If there are no such logits.
            DatasetError: If a label is no token of the vocabulary.
        """
        wanted = np.asarray(labels)
        if SCORES in outputs:
            return self._scored(state, scores(outputs, len(wanted)), wanted)
        logits = token_logits(outputs, wanted.shape)
        _check_tokens(wanted, logits.shape[2])
        part = np.stack([_window(row, tokens) for row, tokens in zip(logits, wanted, strict=True)] or [np.zeros(3)])
        sums = part[: len(wanted), :2]
        return PerplexityState(parts=(*state.parts, sums), not_finite=state.not_finite + int(part[:, 2].sum()))

    @staticmethod
    def _scored(state: PerplexityState, told: NDArray[np.floating], labels: Array) -> PerplexityState:
        """Take what a backend has summed up itself."""
        losses, counts = -told.astype(np.float64).sum(axis=1), (labels != IGNORED).sum(axis=1)
        finite = np.isfinite(losses) | (counts == 0)
        part = np.stack([np.where(finite, losses, 0.0), counts.astype(np.float64)], axis=1)
        return PerplexityState(parts=(*state.parts, part), not_finite=state.not_finite + int(counts[~finite].sum()))

    def compute(self, state: PerplexityState) -> Metrics:
        """Return `accuracy/perplexity`."""
        windows = _windows(state)
        tokens = int(windows[:, 1].sum())
        if not tokens or state.not_finite:
            note = f"-log p of {state.not_finite} tokens is not finite" if tokens else "no scored tokens"
            figure = Estimate(value=None, unit="1", n=tokens, definition=_DEFINITION, note=note)
            return Metrics({"accuracy/perplexity": figure})
        value = math.exp(float(windows[:, 0].sum()) / tokens)
        note = joined(f"{len(windows)} windows")
        figure = Estimate(value=value, unit="1", n=tokens, definition=_DEFINITION, note=note)
        interval = bootstrap_interval(windows[windows[:, 1] > 0], lambda drawn: _of_sums(drawn.sum(axis=1)), seed=0)
        return Metrics({"accuracy/perplexity": figure.within(interval)})

    def units(self, state: PerplexityState) -> Units:
        """Return the sum of -log p and the number of scored tokens of each window; none where a sum is not finite."""
        windows = _windows(state)[: 0 if state.not_finite else None]
        scored = windows[:, 1] > 0
        return Units(ids=np.flatnonzero(scored), values=windows[scored], noun="windows")


class PromptPerplexity(Perplexity):
    """Perplexity of each of some prompts by itself, beside that of all their tokens together.

    For tens of prompts: each is a figure of its own, `accuracy/perplexity/prompt_000` and so on.

    Attributes:
        name: `prompt_perplexity`.
        higher_is_better: False.
    """

    def __init__(self) -> None:
        """Take no options."""
        super().__init__()
        self.name = "prompt_perplexity"

    def compute(self, state: PerplexityState) -> Metrics:
        """Return `accuracy/perplexity`, and `accuracy/perplexity/prompt_...` of each prompt in order.

        Not of each prompt where a token has no finite -log p.
        """
        prompts = np.concatenate([np.empty((0, 2)), *(state.parts if not state.not_finite else ())])
        each = {f"accuracy/perplexity/prompt_{n:03}": _of_one(*row) for n, row in enumerate(prompts.tolist())}
        return Metrics({**super().compute(state), **each})


def _of_one(loss: float, tokens: float) -> Estimate:
    figure = Estimate(
        value=None, unit="1", n=int(tokens), definition="exp of the mean of -log p(token) over a prompt's tokens"
    )
    return attrs.evolve(figure, value=math.exp(loss / tokens)) if tokens else figure.noted("no scored tokens")


def _windows(state: PerplexityState) -> NDArray[np.float64]:
    return np.concatenate([np.empty((0, 2)), *state.parts])


def token_logits(outputs: Mapping[str, Array], shape: tuple[int, ...]) -> NDArray[np.floating]:
    """Return a language model's logits, [n, seq_len, vocabulary].

    Raises:
        MalformedOutputError: If there are none for samples and positions of that shape.
    """
    name = "logits" if "logits" in outputs or len(outputs) != 1 else next(iter(outputs))
    if name not in outputs:
        raise MalformedOutputError("the answer has no output 'logits'", got=sorted(outputs))
    logits = numbers(outputs[name], name=name, kind=MalformedOutputError, whose="output")
    if logits.ndim != 3 or logits.shape[:2] != shape:  # noqa: PLR2004 - samples, positions, vocabulary
        expected = f"[{', '.join(map(str, shape))}, vocabulary]"
        raise MalformedOutputError(f"the output {name!r} has the wrong shape", got=logits.shape, expected=expected)
    return logits


def scores(outputs: Mapping[str, Array], samples: int) -> NDArray[np.floating]:
    """Return a language model's log-likelihoods, [n, spans].

    Raises:
        MalformedOutputError: If there are none for so many samples.
    """
    told = numbers(outputs[SCORES], name=SCORES, kind=MalformedOutputError, whose="output")
    if told.ndim != 2 or len(told) != samples or not told.shape[1]:  # noqa: PLR2004 - samples, spans
        expected = f"[{samples}, spans]"
        raise MalformedOutputError(f"the output {SCORES!r} has the wrong shape", got=told.shape, expected=expected)
    return told


def _check_tokens(labels: Array, vocabulary: int) -> None:
    scored = labels[labels != IGNORED]
    if labels.dtype.kind not in "iu" or (scored.size and not 0 <= scored.min() <= scored.max() < vocabulary):
        got = str(labels.dtype) if labels.dtype.kind not in "iu" else f"{scored.min()} to {scored.max()}"
        raise DatasetError("labels are no tokens of the model", got=got, expected=f"0 to {vocabulary - 1}, or -100")


def _window(logits: NDArray[np.floating], labels: Array) -> NDArray[np.float64]:
    """Return the sum of -log p, the number of scored tokens, and for how many it is not finite."""
    positions = np.flatnonzero(labels != IGNORED)
    step = max(1, _CHUNK_BYTES // (8 * logits.shape[1]))
    losses = np.concatenate(
        [np.empty(0)]
        + [_losses(logits[chosen], labels[chosen]) for chosen in np.split(positions, range(step, len(positions), step))]
    )
    finite = np.isfinite(losses)
    return np.array([losses[finite].sum(), len(losses), (~finite).sum()])


def _losses(logits: NDArray[np.floating], tokens: Array) -> NDArray[np.float64]:
    values = logits.astype(np.float64)
    if not len(values):
        return np.empty(0)
    with np.errstate(invalid="ignore", over="ignore"):
        largest = values.max(axis=1, keepdims=True)
        normaliser = np.log(np.exp(values - largest).sum(axis=1)) + largest[:, 0]
        losses: NDArray[np.float64] = normaliser - np.take_along_axis(values, tokens[:, np.newaxis], axis=1)[:, 0]
    return losses
