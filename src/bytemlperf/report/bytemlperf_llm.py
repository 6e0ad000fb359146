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
    "server": "ms, as the engine tells its own times (vendor_reported), not measured by the harness: waiting for a "
    "slot, reading the prompt, and each further token; what it does not tell is left out",
    "PPL": "corpus perplexity, exp of the mean of -log p over the tokens of a text; the original takes the model's own "
    "greedy answers",
    "Logits Diff": "of every token of the answers after the same history, against an independent reference; the "
    "original compares the first token's with one recorded run",
    "Token Diff": "choices of tokens against the reference's after the same history; the original compares the values "
    "of the largest logits and no token, so there is no `Max Difference`",
}
"""How each figure is made, where the original's definition is another."""

_CLIENT: Final = {
    "First Token Latency(AVG)": "ttft/mean",
    "Per Token Latency(AVG)": "tpot/mean",
    "First Token Latency(P90)": "ttft/p90",
    "Per Token Latency(P90)": "tpot/p90",
}
_SERVER: Final = {
    "Context Wait Time(AVG)": "vendor_reported/queue_ms/mean",
    "Context Wait Time(P90)": "vendor_reported/queue_ms/p90",
    "Context Model Time(AVG)": "vendor_reported/prefill_ms/mean",
    "Context Model Time(P90)": "vendor_reported/prefill_ms/p90",
}
_DECODE: Final = {
    "Decode Model Time(AVG)": "vendor_reported/decode_ms/mean",
    "Decode Model Time(P90)": "vendor_reported/decode_ms/p90",
}


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
        "server": _server(row),
        "Token Throughput": _figure(row, "throughput/output_tokens_per_s"),
        "Request Number": None if answered is None or answered.value is None else int(answered.value),
        "QPS": _figure(row, "throughput/queries_per_s"),
    }


def _server(row: Row) -> dict[str, Json]:
    found: dict[str, Json] = {key: _figure(row, name) for key, name in _SERVER.items() if name in row.metrics}
    further = _further_tokens(row)
    if further:
        found |= {key: _figure(row, name, per=further) for key, name in _DECODE.items() if name in row.metrics}
    return found


def _further_tokens(row: Row) -> float:
    """Return the tokens of an answer but the first, where all have the same number; else 0."""
    tokens, answers = row.metrics.get("tokens/output"), row.metrics.get("queries/answered")
    if tokens is None or answers is None or not tokens.value or not answers.value:
        return 0.0
    each = tokens.value / answers.value
    return each - 1 if each == int(each) else 0.0


def _figure(row: Row, name: str, *, per: float = 1.0) -> float | None:
    estimate: Estimate | None = row.metrics.get(name)
    return None if estimate is None or estimate.value is None else estimate.value / per


def _accuracy(reports: Sequence[Report]) -> dict[str, Json]:
    rows = [row for report in reports if report.job.asked is Asked.GENERATE for row in report.rows_of(RowKind.NUMERIC)]
    texts = [row for report in reports for row in report.rows_of(RowKind.ACCURACY)]
    perplexities = [_figure(row, "accuracy/perplexity") for row in texts if "accuracy/perplexity" in row.metrics]
    found: dict[str, Json] = {"PPL": list(perplexities)} if perplexities else {}
    if rows:
        found |= {"Logits Diff": _logits(rows[0]), "Token Diff": _tokens(rows[0])}
    return {name: each for name, each in found.items() if each}


def _logits(row: Row) -> dict[str, Json]:
    mean, deviation = _figure(row, "numeric/logits/mean_abs"), _figure(row, "numeric/logits/std_abs")
    if mean is None or deviation is None:
        return {}
    return {
        "Max Difference": _figure(row, "numeric/logits/max_abs"),
        "Mean Squared Error": mean**2 + deviation**2,
        "Mean Absolute Error": mean,
        "Cosine Similarity": _figure(row, "numeric/logits/cosine"),
    }


def _tokens(row: Row) -> dict[str, Json]:
    answers = row.metrics.get("tokens/answers_equal")
    if answers is None:
        return {}
    return {
        "Prompt Num": answers.n,
        "Agreement": _figure(row, "tokens/agreement"),
        "First Difference": _figure(row, "tokens/first_difference"),
        "Largest Gap": _figure(row, "tokens/largest_gap"),
    }
