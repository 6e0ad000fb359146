"""Labels that are more than one number: what a metric must know of a sample to score the answer to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bytemlperf.sample import Array

IGNORED: Final = -100
"""A token with this label is not scored; the value that torch's cross entropy ignores."""

CHOICES: Final = 4
"""Answers to choose from."""

CHOICE: Final = np.dtype([("position", np.int64), ("choices", np.int64, (CHOICES,)), ("answer", np.int64)])
"""Label of a multiple-choice question.

`position` is that of the token after which the answer comes; `choices` are the token ids that begin the answers;
`answer` is the right one of them, 0 to 3.
"""

PAIR: Final = np.dtype([("triplet", np.int64), ("similar", np.bool_)])
"""Label of one pair of a triplet: which triplet it is of, and whether it is the more similar pair."""


@attrs.frozen(kw_only=True, eq=False)
class QuestionWindow:
    """A question and one window of its passage; a long passage makes several samples of one question.

    Attributes:
        question_id: Of the question; equal for all its windows.
        passage: Text in which the answer lies.
        answers: Texts of which each is right.
        spans: int32[seq_len, 2], first and last + 1 character of each token in the passage; -1 where a token is
            none of the passage and so no part of an answer.
        may_start: bool[seq_len], where an answer may begin: tokens of the passage that have more context in this
            window than in every other.
        windows: How many samples the question has.
    """

    question_id: str
    passage: str
    answers: tuple[str, ...]
    spans: NDArray[np.int32]
    may_start: NDArray[np.bool_]
    windows: int = 1


@attrs.frozen(kw_only=True, eq=False)
class ImageTruth:
    """What is to be detected in an image, and how the image was put into the model's.

    Attributes:
        image_id: Of the image.
        boxes: float64[n, 4], left, top, width and height in pixels of the photograph.
        categories: int64[n], classes as the model counts them, from 0.
        crowd: bool[n], whether a box stands for a crowd, which is matched by its part and never missed.
        areas: float64[n], pixels of the object.
        scale: Pixels of the model's image for one of the photograph.
        left: Pixels of the model's image left of the photograph.
        top: Pixels of the model's image above it.
        width: Of the photograph.
        height: Of the photograph.
    """

    image_id: int
    boxes: NDArray[np.float64]
    categories: NDArray[np.int64]
    crowd: NDArray[np.bool_]
    areas: NDArray[np.float64]
    scale: float = 1.0
    left: float = 0.0
    top: float = 0.0
    width: int
    height: int


def as_labels(values: Sequence[object]) -> Array:
    """Return values as an array of objects, [n], whatever they contain."""
    labels = np.empty(len(values), object)
    labels[:] = values
    return labels
