"""What users of a language model would put up with, as data of a job."""

from __future__ import annotations

import attrs

from bytemlperf.spec.fields import positive


@attrs.frozen(kw_only=True)
class TokenBounds:
    """What a user would put up with; None for no bound.

    Attributes:
        ttft_ms: Time to the first token.
        tpot_ms: Time for each further token.
        latency_ms: Time to the end.
    """

    ttft_ms: float | None = attrs.field(default=None, validator=positive(optional=True))
    tpot_ms: float | None = attrs.field(default=None, validator=positive(optional=True))
    latency_ms: float | None = attrs.field(default=None, validator=positive(optional=True))

    def __str__(self) -> str:
        """Write the bounds that are set."""
        told = attrs.asdict(self)
        return ", ".join(f"{name} <= {bound:g}" for name, bound in told.items() if bound is not None) or "no bound"
