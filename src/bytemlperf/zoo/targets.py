"""What the accuracy of the catalog's models must hold, and who says so: MLPerf of the very network, else this package.

MLPerf's targets are shares of the reference in float32 and the same for every precision that is submitted: whoever
quantises must reach them too. They are those of v6.0 (github.com/mlcommons/inference,
tools/submission/submission_checker/constants.py, "accuracy-target"); of DLRM also those of earlier rounds.
"""

from __future__ import annotations

from typing import Final

from bytemlperf.spec import AccuracyTarget

_SHARE: Final = 0.99
_STRICT: Final = 0.999


def _stated(reason: str, *metrics: str, share: float = _SHARE) -> tuple[AccuracyTarget, ...]:
    source = f"stated by bytemlperf: {reason}"
    return tuple(AccuracyTarget(metric=metric, share=share, source=source) for metric in metrics)


RESNET50: Final = (
    AccuracyTarget(
        metric="top1", share=_SHARE, source="MLPerf inference v6.0, resnet: 99 % of float32 in every precision"
    ),
)
"""MLPerf's own checkpoint reaches 76.46 %; the share is held of this one's."""

IMAGES: Final = _stated("MLPerf asks 99 % of ResNet-50 and has no such model", "top1")

ZERO_SHOT: Final = _stated("MLPerf asks 99 % of its classifier of images and has no such model", "zero_shot_top1")

QUESTIONS: Final = _stated("MLPerf asks 99 % (or 99.9 %) of BERT large's F1 and has no such model", "f1") + _stated(
    "as of F1; MLPerf has no target of exact match", "em"
)

CLICKS: Final = (
    *_stated("MLPerf asks 99.9 % of dlrm-v3's AUC and has no such model", "auc", share=_STRICT),
    *_stated("as of AUC, as MLPerf's dlrm-v3 is held by its normalised entropy too", "log_loss", share=_STRICT),
    *_stated("MLPerf has no such model; 99.9 % of a share take thousands of samples", "binary_accuracy"),
)
"""The area of a guess is 0.5 and not 0, so that 99 % of it would let pass what has lost much of its worth."""

TRIPLETS: Final = _stated("MLPerf has no such task; as of its classifier of images", "triplet_accuracy")

BOXES: Final = _stated("MLPerf asks 95 % or 99 % of YOLOv11's mAP and has no such model", "map", "map50")

LANGUAGE: Final = _stated(
    "MLPerf holds language models by ROUGE and exact match of what they write, not by this",
    "perplexity",
    "multiple_choice",
)

DIGITS: Final = _stated("MLPerf has no such model; as of ResNet-50", "top1")
