"""Top-1 accuracy of a classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.errors import DatasetError, MalformedOutputError
from bytemlperf.metrics.estimate import Metrics
from bytemlperf.metrics.pairs import numbers
from bytemlperf.metrics.shares import bytemlperf_share, share_estimate
from bytemlperf.statistics import binomial_interval

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from bytemlperf.sample import Array

_DEFINITION: Final = (
    "share of samples whose largest logit (the first of equals) is at the label; exact binomial interval"
)
_BYTEMLPERF_DEFINITION: Final = (
    "ByteMLPerf's formula for torch and ONNX models, for comparison only: a logit of 0 is put before the first class, "
    "so that a sample whose logits are all negative or 0 is wrong; the share rounded to 5 decimals; exact binomial "
    "interval"
)
_SURE: Final = 0.999999
_FEW: Final = 10


@attrs.frozen(kw_only=True)
class Top1State:
    """Counts so far.

    Attributes:
        n: Samples.
        right: Samples whose largest logit is at the label.
        right_bytemlperf: The same by ByteMLPerf's formula.
        right_if_higher: Samples whose largest logit is one above the label.
        right_if_lower: Samples whose largest logit is one below the label.
        with_nan: Samples with a NaN among their logits.
        classes: Logits of a sample; None before the first.
    """

    n: int = 0
    right: int = 0
    right_bytemlperf: int = 0
    right_if_higher: int = 0
    right_if_lower: int = 0
    with_nan: int = 0
    classes: int | None = None


class Top1:
    """Share of samples whose largest logit is at the label.

    Of equal logits the first counts. A sample with a NaN among its logits is wrong. Labels are class indices as the
    model counts them: nothing is shifted. Where labels one higher or lower would fit far better, as those of a model
    with a background class, the figure's note says so.

    Attributes:
        name: `top1`.
        higher_is_better: True.
        classes: Number of classes that a model must have; None takes what comes.

    Example:
        >>> metric = Top1()
        >>> logits = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]])
        >>> state = metric.update(metric.initial(), {"logits": logits}, np.array([1, 0, 0, 0]))
        >>> print(metric.compute(state)["accuracy/top1"])
        0.75 [0.19412, 0.993691], n = 4
    """

    def __init__(self, *, classes: int | None = None) -> None:
        """Say how many classes there are, where it is known."""
        self.name = "top1"
        self.higher_is_better = True
        self.classes = classes

    def initial(self) -> Top1State:
        """Return the state before the first sample."""
        return Top1State(classes=self.classes)

    def update(self, state: Top1State, outputs: Mapping[str, Array], labels: Array) -> Top1State:
        """Return the state after more samples.

        Args:
            state: From `initial` or `update`.
            outputs: `logits`, or one output of any name: [n, classes], padding taken off.
            labels: Whole numbers [n], at least 0 and below the number of classes.

        Raises:
            MalformedOutputError: If there are no logits, or not of that shape, or of another number of classes than
                was given or came before.
            DatasetError: If labels are no class indices of the model.
        """
        right, logits = checked_logits(outputs, labels, classes=state.classes)
        nan = np.isnan(logits).any(axis=1)
        found = logits.argmax(axis=1)
        # The original puts a logit of 0 before the first class and counts labels from 1.
        shifted = np.pad(logits, ((0, 0), (1, 0)))
        return Top1State(
            n=state.n + len(right),
            right=state.right + int(_is_right(logits, right).sum()),
            right_bytemlperf=state.right_bytemlperf + int((shifted.argmax(axis=1) == right + 1).sum()),
            right_if_higher=state.right_if_higher + int((found == right + 1).sum()),
            right_if_lower=state.right_if_lower + int((found == right - 1).sum()),
            with_nan=state.with_nan + int(nan.sum()),
            classes=logits.shape[1],
        )

    def right(self, outputs: Mapping[str, Array], labels: Array) -> NDArray[np.bool_]:
        """Return bool[n], which samples have their largest logit at the label.

        Args:
            outputs: As for `update`.
            labels: As for `update`.

        Raises:
            MalformedOutputError: As `update`.
            DatasetError: As `update`.
        """
        expected, logits = checked_logits(outputs, labels, classes=self.classes)
        return _is_right(logits, expected)

    def compute(self, state: Top1State) -> Metrics:
        """Return `accuracy/top1` and, by ByteMLPerf's formula, `accuracy/top1.bytemlperf`."""
        nan = f"{state.with_nan} samples have NaN among their logits and count as wrong" if state.with_nan else ""
        return Metrics(
            {
                "accuracy/top1": share_estimate(state.right, state.n, _DEFINITION).noted(nan, _shifted(state)),
                "accuracy/top1.bytemlperf": bytemlperf_share(state.right_bytemlperf, state.n, _BYTEMLPERF_DEFINITION),
            }
        )


def checked_logits(
    outputs: Mapping[str, Array], labels: Array, *, classes: int | None
) -> tuple[NDArray[np.int64], NDArray[np.floating]]:
    """Return labels, int64[n], and logits, [n, classes], found to fit each other.

    Args:
        outputs: `logits`, or one output of any name.
        labels: Class indices as the model counts them.
        classes: How many there must be; None takes what comes.

    Raises:
        MalformedOutputError: If there are no logits, or of another shape.
        DatasetError: If labels are no class indices of the model.
    """
    expected = _checked_labels(labels)
    logits = _checked_logits(outputs, n=len(expected), classes=classes)
    _check_range(expected, classes=logits.shape[1])
    return expected, logits


def _is_right(logits: NDArray[np.floating], expected: NDArray[np.int64]) -> NDArray[np.bool_]:
    is_right: NDArray[np.bool_] = (logits.argmax(axis=1) == expected) & ~np.isnan(logits).any(axis=1)
    return is_right


def _shifted(state: Top1State) -> str:
    """Say where labels one higher or lower would fit far better: then they are not counted as the model counts."""
    bound = binomial_interval(state.right, state.n, level=_SURE).high if state.n else 1.0
    for shifted, way in ((state.right_if_higher, "higher"), (state.right_if_lower, "lower")):
        if shifted > _FEW and binomial_interval(shifted, state.n, level=_SURE).low > bound:
            share = f"{shifted / state.n:.3f}"
            return (
                f"labels one {way} would be right for {share} of the samples: does the model have a background class?"
            )
    return ""


def _checked_labels(labels: Array) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise DatasetError("labels are no class indices", got=f"{array.dtype} {array.shape}", expected="integers [n]")
    return array.astype(np.int64)


def _checked_logits(outputs: Mapping[str, Array], *, n: int, classes: int | None) -> NDArray[np.floating]:
    name = "logits" if "logits" in outputs or len(outputs) != 1 else next(iter(outputs))
    if name not in outputs:
        raise MalformedOutputError(
            "the answer has no output 'logits'", got=sorted(outputs), expected="'logits', or one output of any name"
        )
    logits = numbers(outputs[name], name=name, kind=MalformedOutputError, whose="output")
    if logits.ndim != 2 or len(logits) != n or not logits.shape[1] or classes not in {None, logits.shape[1]}:  # noqa: PLR2004 - samples and classes
        raise MalformedOutputError(
            f"the output {name!r} has the wrong shape",
            got=logits.shape,
            expected=f"[{n}, {'classes' if classes is None else classes}]",
            remedy="a model with a background class needs labels that count it",
        )
    return logits


def _check_range(labels: NDArray[np.int64], *, classes: int) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DatasetError(
            "labels are outside the model's classes",
            got=f"{labels.min()} to {labels.max()}",
            expected=f"0 to {classes - 1}",
            remedy="nothing is shifted: give labels as the model counts its classes",
        )
