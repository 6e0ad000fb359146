"""What results must hold to be accepted, as data of a job."""

from __future__ import annotations

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec import AccuracyTarget
from bytemlperf.spec.fields import as_tuple, at_least, instance, not_negative


def _confidence(_: object, __: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.5 < value < 1:  # noqa: PLR2004 - a coin
        raise SpecError("no confidence", where="$.level", got=value, expected="a number above 0.5 and below 1")


@attrs.frozen(kw_only=True)
class Acceptance:
    """How accuracy and numerics are judged.

    Attributes:
        targets: Of accuracy; one for a metric takes the place of the model's own, one for a precision comes first.
        level: Confidence of each decision, one-sided: 0.95 errs in at most 5 of 100 decisions of either kind.
        paired_samples: Samples that the reference is asked too, so that accuracy is judged in pairs; 0 for none. None
            takes 512, unless the reference would be busy with them for more than two minutes, which is then told.
        tolerance: Bound of max|d| / max|reference| of every output, in the place of the precision's.
        locate: On a numeric mismatch, find the first operator that diverges: some log2(operators) further compiles.

    Raises:
        SpecError: If a field cannot be what it says.

    Example:
        >>> Acceptance(targets=[AccuracyTarget(metric="top1", share=0.999)]).targets[0].share
        0.999
    """

    targets: tuple[AccuracyTarget, ...] = attrs.field(
        default=(), converter=as_tuple, validator=attrs.validators.deep_iterable(instance(AccuracyTarget))
    )
    level: float = attrs.field(default=0.95, validator=_confidence)
    paired_samples: int | None = attrs.field(default=None, validator=at_least(0, optional=True))
    tolerance: float | None = attrs.field(default=None, validator=not_negative(optional=True))
    locate: bool = attrs.field(default=True, validator=instance(bool))
