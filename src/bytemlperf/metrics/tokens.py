"""Figures of streamed tokens: time to the first, time for each further one, gaps, rates, goodput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.metrics.estimate import Estimate, Metrics, merged
from bytemlperf.metrics.quantities import NOTHING, PERCENTILES, mean_of, percentile_of
from bytemlperf.statistics import binomial_interval, rate_interval, rate_per_s

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bytemlperf.trace import Trace
    from bytemlperf.workload import TokenBounds

_TTFT: Final = "first part with a token - scheduled of each answered query"
_TPOT: Final = (
    "(last part with a token - first part with a token) / (tokens - 1) of each answered query of several tokens"
)
_REQUEST_MEAN: Final = "(done - first part with a token) / (tokens - 1) of each answered query of several tokens"
_GAPS: Final = "time between neighbouring parts with a token of one query, those of all queries together"


def token_figures(
    trace: Trace,
    *,
    prompt_tokens: NDArray[np.int64] | None = None,
    bounds: TokenBounds | None = None,
    level: float = 0.95,
) -> Metrics:
    """Compute every figure of streamed answers, in ns and tokens/s.

    | name | is | who else calls it so |
    |---|---|---|
    | `ttft/...` | first token less the scheduled time | MLPerf; vLLM and genai-perf count from sending |
    | `tpot/...` | last less first token over tokens less 1, tokens not parts | MLPerf, vLLM |
    | `itl/chunk_gap/...` | gaps between parts, pooled | vLLM's ITL; aiperf's inter_chunk_latency |
    | `itl/request_mean/...` | end less first token over tokens less 1, one value a query | genai-perf's ITL |
    | `throughput/output_tokens_per_s` | tokens of answers over the time from start to the last end | all |
    | `throughput/total_tokens_per_s` | the same with the prompts' tokens | all |
    | `goodput/...` | queries that held every bound | vLLM, aiperf |

    Args:
        trace: Of the timed part of one run.
        prompt_tokens: int64[n], tokens of each query's prompt; without them there is no total.
        bounds: What counts as good; without them there is no goodput.
        level: Confidence of the intervals.

    Source:
        MLPerf LoadGen, logging.cc l.442-476 (mlcommons/inference at b66003e); vLLM's benchmarks/serve.py; aiperf
        0.13.
    """
    times = _Times(trace)
    parts = [
        _summary("ttft", times.ttft_ns, _TTFT, level=level),
        _summary("tpot", times.tpot_ns, _TPOT, level=level),
        _summary("itl/chunk_gap", times.gaps_ns, _GAPS, level=level),
        _summary("itl/request_mean", times.request_mean_ns, _REQUEST_MEAN, level=level),
        _rates(trace, prompt_tokens, level=level),
        _counts(trace),
    ]
    if bounds is not None:
        parts.append(goodput(trace, bounds, level=level))
    return merged(parts)


def score_figures(trace: Trace, *, tokens: NDArray[np.int64], level: float = 0.95) -> Metrics:
    """Compute `throughput/scored_tokens_per_s` of texts whose likelihood was asked.

    Args:
        trace: Of the timed part of one run.
        tokens: int64[n], tokens of each query's text.
        level: Confidence of the interval.
    """
    told = _rate(trace, tokens[trace.answered], "tokens of texts that were scored", level=level)
    return Metrics({"throughput/scored_tokens_per_s": told})


class _Times:
    """Times of the tokens of the answered queries of a trace."""

    def __init__(self, trace: Trace) -> None:
        answered = np.flatnonzero(trace.answered)
        first, done = trace.first_ns[answered], trace.done_ns[answered]
        tokens = trace.tokens[answered].astype(np.int64)
        several = tokens > 1
        query, stamps = _parts(trace)
        last = done.copy()  # where no part was stamped
        last[np.searchsorted(answered, query)] = stamps  # in the order of time: the last one stays
        further = np.maximum(tokens - 1, 1)
        self.ttft_ns = first - trace.scheduled_ns[answered]
        self.each_tpot_ns = np.where(several, (last - first) / further, 0.0)
        self.tpot_ns = self.each_tpot_ns[several]
        self.request_mean_ns = ((done - first) / further)[several]
        self.gaps_ns = np.diff(stamps)[np.diff(query) == 0]


def _parts(trace: Trace) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return query and stamp of each part with a token of an answered query, by query and then by time."""
    mine = (trace.chunk_tokens > 0) & trace.answered[trace.chunk_query]
    query, stamps = trace.chunk_query[mine].astype(np.int64), trace.chunk_ns[mine]
    order = np.lexsort((stamps, query))
    return query[order], stamps[order]


def _summary(name: str, values: NDArray[np.int64] | NDArray[np.float64], what: str, *, level: float) -> Metrics:
    figures = {"mean": mean_of(values, what=what, level=level)}
    figures |= {p: percentile_of(values, share, what=what, level=level) for p, share in PERCENTILES.items()}
    return Metrics({f"{name}/{each}": figure for each, figure in figures.items()})


def _rates(trace: Trace, prompt_tokens: NDArray[np.int64] | None, *, level: float) -> Metrics:
    answered = trace.answered
    output = trace.tokens[answered].astype(np.int64)
    figures = {"throughput/output_tokens_per_s": _rate(trace, output, "tokens of answers", level=level)}
    if prompt_tokens is not None:
        total = output + prompt_tokens[answered]
        figures["throughput/total_tokens_per_s"] = _rate(trace, total, "tokens of prompts and answers", level=level)
    return Metrics(figures)


def _rate(trace: Trace, weights: NDArray[np.int64], what: str, *, level: float) -> Estimate:
    done, begin = trace.done_ns[trace.answered], trace.started_ns
    figure = Estimate(
        value=None,
        unit="tokens/s",
        level=level,
        n=done.size,
        definition=f"{what} / (last done - start), never rounded; interval from the ratio of consecutive batches of "
        "completions",
    )
    if not done.size or done.max() == begin:
        return figure.noted(NOTHING)
    interval = rate_interval(done, weights=weights, start_ns=begin, level=level)
    value = rate_per_s(done, weights=weights, start_ns=begin)
    return attrs.evolve(figure, value=value).within(interval)


def _counts(trace: Trace) -> Metrics:
    answered = trace.answered
    counted = np.bincount(trace.chunk_query, weights=trace.chunk_tokens, minlength=len(trace))[answered]
    told = trace.tokens[answered]
    differ = int((counted != told).sum()) if len(trace.chunk_query) and not trace.chunks_lost else 0
    notes = [f"{differ} answers whose parts have another sum than the engine's own total" if differ else ""]
    notes.append(f"{trace.chunks_lost} parts have no stamp of their own" if trace.chunks_lost else "")
    figure = Estimate(
        value=int(told.sum()),
        unit="tokens",
        n=int(answered.sum()),
        definition="tokens of the answers, by the engine's own total where it tells one, else by its parts",
    )
    return Metrics({"tokens/output": figure.noted(*notes)})


def goodput(trace: Trace, bounds: TokenBounds, *, level: float = 0.95) -> Metrics:
    """Count the queries that held every bound: `goodput/share` of those planned, and `goodput/queries_per_s`.

    A query that failed or was not answered held none. One of a single token has no time for each further one, which
    counts as 0.

    Args:
        trace: Of the timed part of one run.
        bounds: What counts as good.
        level: Confidence of the interval.

    Source: vLLM, vllm/benchmarks/serve.py.
    """
    times, latency = _Times(trace), trace.latency_ns
    limits = ((bounds.ttft_ms, times.ttft_ns), (bounds.tpot_ms, times.each_tpot_ns), (bounds.latency_ms, latency))
    good = np.ones(len(latency), dtype=np.bool_)
    for bound_ms, values in limits:
        if bound_ms is not None:
            good &= values <= bound_ms * 1e6
    count, n = int(good.sum()), len(trace)
    what = f"queries with {bounds}"
    share = Estimate(value=None, unit="1", n=n, level=level, definition=f"{what} / queries planned; interval exact")
    rate = Estimate(value=None, unit="queries/s", n=n, definition=f"{what} / (last done - start); of this run only")
    if not latency.size:
        return Metrics({"goodput/share": share.noted(NOTHING), "goodput/queries_per_s": rate.noted(NOTHING)})
    share = attrs.evolve(share, value=count / n).within(binomial_interval(count, n, level=level))
    elapsed_s = (int(trace.done_ns[trace.answered].max()) - trace.started_ns) / 1e9
    rate = attrs.evolve(rate, value=count / elapsed_s) if elapsed_s > 0 else rate.noted("no time passed")
    return Metrics({"goodput/share": share, "goodput/queries_per_s": rate})
