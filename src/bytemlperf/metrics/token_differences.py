"""Generated tokens against what a reference would have chosen after the same history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.errors import MalformedOutputError
from bytemlperf.metrics.estimate import Estimate, Metrics
from bytemlperf.metrics.shares import share_estimate
from bytemlperf.metrics.tolerance import tolerance_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.spec import DType

_HISTORY: Final = "after the same history: the prompt and the answer so far"
_FIRST: Final = "the first of the highest logits"


@attrs.frozen(kw_only=True)
class TokenState:
    """Counts so far; answers come one by one.

    Attributes:
        tokens: Of the answers.
        equal: Those that are the reference's first choice.
        ties: Others whose logit lies so near the largest that rounding may decide.
        answers: How many.
        same: Answers of which every token is the reference's first choice.
        first: Place of the first differing token, of all answers the earliest; None where there is none.
        gap: Largest of (largest logit - logit of the chosen token) / max|logit|, all of the reference.
        apart: Largest difference between the largest logits of both sides at a place; None where no answer had logits.
        placed: Places at which both sides had logits.
    """

    tokens: int = 0
    equal: int = 0
    ties: int = 0
    answers: int = 0
    same: int = 0
    first: int | None = None
    gap: float = 0.0
    apart: float | None = None
    placed: int = 0


class TokenDifferences:
    """Counts where a greedy answer leaves the reference's, and by how much the reference disagrees.

    The reference is asked once for each prompt and its answer together, so each token is judged after the same
    history. Up to the first differing token that is the same as comparing two answers; beyond it two answers would
    have nothing to do with one another, where this goes on to compare choices.

    A token whose logit in the reference lies within `tie` of the largest is no difference that counts: both sides may
    be off by the precision's tolerance, in opposite directions.

    Attributes:
        tie: Bound of (largest logit - logit of the chosen token) / max|logit|: twice the precision's tolerance; None
            where none follows, and then there is no verdict.
    """

    def __init__(self, *, precision: DType, tolerance: float | None = None) -> None:
        """Say in what the answers were computed.

        Args:
            precision: What the backend used.
            tolerance: Bound of max|d| / max|reference| of its logits in the place of the precision's.
        """
        bound = tolerance_of(precision).value if tolerance is None else tolerance
        self.tie = None if bound is None else 2 * bound

    def initial(self) -> TokenState:
        """Return the state before the first answer."""
        return TokenState()

    def update(
        self,
        state: TokenState,
        tokens: NDArray[np.int64],
        logits: NDArray[np.floating],
        own: NDArray[np.floating] | None = None,
    ) -> TokenState:
        """Return the state after one more answer.

        Args:
            state: From `initial` or `update`.
            tokens: What was answered, [n].
            logits: Of the reference, [n, vocabulary], of what comes at each place of the answer.
            own: The same of the backend, of which the tokens were chosen; None where it gives none.

        Raises:
            MalformedOutputError: If a token is none of the vocabulary.
        """
        wide = np.asarray(logits, np.float64)
        if not len(tokens) or tokens.min() < 0 or tokens.max() >= wide.shape[1]:
            got = tokens.tolist()[:8]
            raise MalformedOutputError("an answer has no or unknown tokens", got=got, expected=f"below {wide.shape[1]}")
        rows = np.arange(len(tokens))
        gaps = (wide.max(axis=1) - wide[rows, tokens]) / np.maximum(np.abs(wide).max(axis=1), np.finfo(float).tiny)
        differs = wide.argmax(axis=1) != tokens
        ties = int((differs & (gaps <= self.tie)).sum()) if self.tie is not None else 0
        places = np.flatnonzero(differs)
        firsts = [int(place) for place in places[:1]] + ([] if state.first is None else [state.first])
        return TokenState(
            tokens=state.tokens + len(tokens),
            equal=state.equal + int((~differs).sum()),
            ties=state.ties + ties,
            answers=state.answers + 1,
            same=state.same + (not len(places)),
            first=min(firsts, default=None),
            gap=max(state.gap, float(gaps.max())),
            apart=state.apart if own is None else float(np.maximum(state.apart or 0.0, _apart(wide, own))),
            placed=state.placed + (0 if own is None else len(own)),
        )

    def passed(self, state: TokenState) -> bool | None:
        """Whether every token is the reference's, but for ties; None without a bound or an answer."""
        if self.tie is None or not state.answers:
            return None
        return state.equal + state.ties == state.tokens

    def compute(self, state: TokenState) -> Metrics:
        """Return `tokens/agreement`, `/answers_equal`, `/first_difference`, `/largest_gap` and `/ties`.

        Where the backend gave logits, `tokens/largest_logit_difference` too: what ByteMLPerf compares under the name
        of tokens.
        """
        bound = "no bound follows from the precision" if self.tie is None else f"a tie is a gap up to {self.tie:.6g}"
        what = f"share of tokens that are the reference's choice, {_FIRST}, {_HISTORY}; exact interval"
        same = "share of answers of which every token is the reference's choice; exact interval"
        return Metrics(
            {
                "tokens/agreement": share_estimate(state.equal, state.tokens, what),
                "tokens/answers_equal": share_estimate(state.same, state.answers, same),
                "tokens/first_difference": Estimate(
                    value=state.first,
                    unit="tokens",
                    n=state.answers,
                    definition="tokens of an answer before the first that is not the reference's choice, the fewest",
                    note="" if state.first is not None else "no token differs",
                ),
                "tokens/largest_gap": Estimate(
                    value=state.gap,
                    unit="1",
                    n=state.tokens,
                    definition="largest of (largest logit - logit of the chosen token) / max|logit|, all of the "
                    f"reference, {_HISTORY}",
                    note=bound,
                ),
                "tokens/ties": Estimate(
                    value=state.ties,
                    unit="tokens",
                    n=state.tokens,
                    definition="differing tokens whose gap is no larger than the bound of a tie",
                    note=bound,
                ),
                **({} if state.apart is None else {"tokens/largest_logit_difference": _logit_difference(state)}),
            }
        )


def _apart(right: NDArray[np.float64], own: NDArray[np.floating]) -> float:
    return float(np.abs(right.max(axis=1) - np.asarray(own, np.float64).max(axis=1)).max())


def _logit_difference(state: TokenState) -> Estimate:
    finite = state.apart is not None and np.isfinite(state.apart)
    return Estimate(
        value=state.apart if finite else None,
        unit="1",
        n=state.placed,
        definition=f"largest |largest logit of the reference - that of the backend| of any place, {_HISTORY}",
        note="the logits' own unit; two that agree may belong to other tokens" if finite else "not finite",
    )
