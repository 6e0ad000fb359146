"""How tokens are chosen from what a language model says."""

from __future__ import annotations

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.spec.fields import as_float, at_least, not_negative, share_or_all


@attrs.frozen(kw_only=True)
class Sampling:
    """How each token of an answer is chosen; greedily unless a temperature is given.

    Attributes:
        temperature: What logits are divided by before one is drawn; 0 is greedy.
        top_k: Draw from that many likeliest tokens; 0 for all.
        top_p: Draw from the likeliest tokens that together have this probability.
        seed: Of the draws; None for the job's. Each prompt draws from a stream of its own.

    Raises:
        SpecError: If a value is out of its range, or draws are described without a temperature.
    """

    temperature: float = attrs.field(default=0.0, converter=as_float, validator=not_negative())
    top_k: int = attrs.field(default=0, validator=at_least(0))
    top_p: float = attrs.field(default=1.0, converter=as_float, validator=share_or_all())
    seed: int | None = attrs.field(default=None, validator=at_least(0, optional=True))

    def __attrs_post_init__(self) -> None:
        """Refuse draws that would not be made."""
        if self.temperature == 0 and (self.top_k, self.top_p, self.seed) != (0, 1, None):
            raise SpecError(
                "without a temperature nothing is drawn",
                where="$.prompts.sampling",
                got=f"top_k={self.top_k}, top_p={self.top_p}, seed={self.seed}",
                remedy="give a temperature above 0, or leave the rest out",
            )
