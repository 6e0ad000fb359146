"""Reports of a language model in ByteMLPerf's own form: its keys, by definitions that hold.

Source: ByteMLPerf at a30b4f9, byte_infer_perf/llm_perf, utils/reporter.py and benchmark/bench.py.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import SpecError
from bytemlperf.report.rows import RowKind
from bytemlperf.workload import Asked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bytemlperf.metrics.estimate import Estimate
    from bytemlperf.report.report import Report
    from bytemlperf.report.rows import Row
    from bytemlperf.spec.reading import Json

_NS_PER_MS: Final = 1e6
_P90: Final = "sorted[int(n * 0.9)]; the original's is interpolated"
DEFINITIONS: Final[Mapping[str, str]] = {
    "First Token Latency": f"ms from the scheduled time to the first part with a token; P90 is {_P90}",
    "Per Token Latency": f"ms, (last part with a token - first) / (tokens - 1); the original takes ms from ns and so "
    f"leaves the first token in; P90 is {_P90}",
    "Token Throughput": "tokens of answers / (last done - start) by the harness' clock; the original's time ends when "
    "the last request is sent",
    "QPS": "answered requests / (last done - start)",
    "server": "ms, as the engine tells its own times (vendor_reported), not measured by the harness; what it does not "
    "tell is left out. Context: up to the first token. Decode: of each further token, where all answers of a row have "
    "the same number. Model Time: passes of the model that the request was in. Wait Time: all else, such as waiting "
    "for a slot and for pieces of others' prompts; the original's ends when its own pass begins",
    "PPL": "of each prompt exp of the mean of -log p over its tokens but the first, in the order of the file; of a "
    "text one figure; the original takes the model's own greedy answers",
    "Logits Diff": "of every token of the answers after the same history, against an independent reference; the "
    "original compares the first token's with one recorded run. Of several jobs: the largest maximum, means over all "
    "tokens, the smallest cosine",
    "Token Diff": "`Max Difference` is as in the original the largest |largest logit of the reference - that of the "
    "backend| of any place, but of all prompts, of which the original takes 16; it compares no token. The others "
    "compare tokens with the reference's choices after the same history",
    "Png": "the original's histograms of Logits Diff and Token Diff are not drawn",
}
"""How each figure is made, where the original's definition is another."""

_CLIENT: Final = {
    "First Token Latency(AVG)": "ttft/mean",
    "Per Token Latency(AVG)": "tpot/mean",
    "First Token Latency(P90)": "ttft/p90",
    "Per Token Latency(P90)": "tpot/p90",
}
_CONTEXT: Final = {"Context Wait Time": "prefill_wait_ms", "Context Model Time": "prefill_model_ms"}
_DECODE: Final = {"Decode Wait Time": "decode_wait_ms", "Decode Model Time": "decode_model_ms"}
_SUMMARIES: Final = {"AVG": "mean", "P90": "p90"}


def to_language_report(reports: Sequence[Report]) -> dict[str, Json]:
    """Return the original's report of a language model, of all the jobs that its workload file makes.

    Reports of jobs with prompts of one length give `Performance`, an entry a row with so many clients; those that
    compare tokens give `Logits Diff` and `Token Diff`, and those that score a text `PPL`. `Definitions` says how each
    figure is made.

    Args:
        reports: Of one model on one backend.

    Raises:
        SpecError: If there is none, or they are of several models or backends.
    """
    if not reports:
        raise SpecError("there is no report")
    different = {(report.job.task, report.job.backend) for report in reports}
    if len(different) > 1:
        raise SpecError("the reports are of several models or backends", got=sorted(different))
    first = reports[0]
    lengths = [report.job.prompts.output for report in reports if report.job.prompts is not None]
    base: dict[str, Json] = {
        "Model": first.job.task,
        "Backend": first.job.backend.upper(),
        "Host Info": first.environment.cpu.model,
        "Version": first.environment.packages.get("bytemlperf", "unknown"),
        "Execution Date": dt.datetime.fromisoformat(first.started_utc).strftime("%Y-%m-%d %H:%M:%S"),
    }
    if lengths:
        base |= {"Min New Tokens": min(low for low, _ in lengths), "Max New Tokens": max(high for _, high in lengths)}
    performance: list[Json] = [entry for report in reports for entry in _entries(report)]
    sections: dict[str, Json] = {"Accuracy": _accuracy(reports), "Performance": performance}
    return base | {name: each for name, each in sections.items() if each} | {"Definitions": dict(DEFINITIONS)}


def _entries(report: Report) -> list[Json]:
    prompts = report.job.prompts
    if prompts is None or prompts.file or prompts.input[0] != prompts.input[1]:
        return []  # the original has prompts of one length only
    found: list[Json] = []
    for scenario, row in ((_scenario(report, each), each) for each in report.rows_of(RowKind.PERFORMANCE)):
        clients = getattr(scenario, "clients", None)
        if clients is not None and row.headline and "ttft/mean" in row.metrics:
            found.append(_entry(report, row, clients, prompts.input[0]))
    return found


def _scenario(report: Report, row: Row) -> object:
    return next((each for each in report.job.scenarios if each.key == row.scenario), None)


def _entry(report: Report, row: Row, clients: int, length: int) -> dict[str, Json]:
    ranks = report.job.options.get("tensor_parallel", 1)
    answered = row.metrics.get("queries/answered")
    return {
        "TP Size": ranks if isinstance(ranks, int) else 1,
        "Batch Size": clients,
        "Input Tokens": length,
        "client": {key: _figure(row, name, per=_NS_PER_MS) for key, name in _CLIENT.items()},
        "server": _server(report, row),
        "Token Throughput": _figure(row, "throughput/output_tokens_per_s"),
        "Request Number": None if answered is None or answered.value is None else int(answered.value),
        "QPS": _figure(row, "throughput/queries_per_s"),
    }


def _server(report: Report, row: Row) -> dict[str, Json]:
    further = _further_tokens(report)
    told = [*((each, 1) for each in _CONTEXT.items()), *((each, further) for each in _DECODE.items() if further)]
    names = [
        (f"{key}({summary})", f"vendor_reported/{name}/{figure}", per)
        for (key, name), per in told
        for summary, figure in _SUMMARIES.items()
    ]
    return {key: _figure(row, name, per=per) for key, name, per in names if name in row.metrics}


def _further_tokens(report: Report) -> int:
    """Return the tokens of an answer but the first, where all have the same number; else 0."""
    prompts = report.job.prompts
    if prompts is None or prompts.file or prompts.stop or prompts.output[0] != prompts.output[1]:
        return 0
    return prompts.output[0] - 1


def _figure(row: Row, name: str, *, per: float = 1.0) -> float | None:
    estimate: Estimate | None = row.metrics.get(name)
    return None if estimate is None or estimate.value is None else estimate.value / per


def _accuracy(reports: Sequence[Report]) -> dict[str, Json]:
    rows = [row for report in reports if report.job.asked is Asked.GENERATE for row in report.rows_of(RowKind.NUMERIC)]
    texts = [row for report in reports for row in report.rows_of(RowKind.ACCURACY)]
    perplexities: list[Json] = [each for row in texts for each in _perplexities(row)]
    found: dict[str, Json] = {"PPL": perplexities, "Logits Diff": _logits(rows), "Token Diff": _tokens(rows)}
    return {name: each for name, each in found.items() if each}


def _perplexities(row: Row) -> list[float | None]:
    """Return the perplexity of each prompt; of a text that of all of it."""
    prompts = sorted(name for name in row.metrics if name.startswith("accuracy/perplexity/prompt_"))
    return [_figure(row, name) for name in prompts or ("accuracy/perplexity",) if name in row.metrics]


def _logits(rows: Sequence[Row]) -> dict[str, Json]:
    mean, deviation = _Joined(rows, "numeric/logits/mean_abs"), _Joined(rows, "numeric/logits/std_abs")
    if not mean.values or len(mean.values) != len(deviation.values):
        return {}
    squares = [m**2 + d**2 for m, d in zip(mean.values, deviation.values, strict=True)]
    return {
        "Max Difference": _Joined(rows, "numeric/logits/max_abs").largest,
        "Mean Squared Error": mean.weighted(squares),
        "Mean Absolute Error": mean.weighted(mean.values),
        "Cosine Similarity": _Joined(rows, "numeric/logits/cosine").smallest,
    }


def _tokens(rows: Sequence[Row]) -> dict[str, Json]:
    answers, agreement = _Joined(rows, "tokens/answers_equal"), _Joined(rows, "tokens/agreement")
    if not answers.values:
        return {}
    return {
        "Max Difference": _Joined(rows, "tokens/largest_logit_difference").largest,
        "Prompt Num": sum(answers.counts),
        "Agreement": agreement.weighted(agreement.values),
        "First Difference": _Joined(rows, "tokens/first_difference").smallest,
        "Largest Gap": _Joined(rows, "tokens/largest_gap").largest,
    }


class _Joined:
    """One figure of several rows, those that have it."""

    def __init__(self, rows: Sequence[Row], name: str) -> None:
        found = [row.metrics[name] for row in rows if name in row.metrics]
        there = [(each.value, each.n or 0) for each in found if each.value is not None]
        self.values, self.counts = [value for value, _ in there], [count for _, count in there]

    @property
    def largest(self) -> float | None:
        return max(self.values, default=None)

    @property
    def smallest(self) -> float | None:
        return min(self.values, default=None)

    def weighted(self, values: Sequence[float]) -> float | None:
        """Return the mean of one value a row over all that the figures were made of."""
        total = sum(self.counts)
        if not total:
            return sum(values) / len(values) if values else None
        return sum(value * count for value, count in zip(values, self.counts, strict=True)) / total
