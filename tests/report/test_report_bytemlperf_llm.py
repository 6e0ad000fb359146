"""Reports of a language model in ByteMLPerf's keys, from a run and from rows made by hand."""

import attrs
import pytest
from tests.evaluation.test_generating import SMALL

from bytemlperf import Lengths, run
from bytemlperf.backends.torch_generation.backend import TorchGenerationBackend
from bytemlperf.errors import SpecError
from bytemlperf.metrics import Estimate
from bytemlperf.report.bytemlperf_llm import DEFINITIONS, to_language_report
from bytemlperf.scenarios import ClosedLoop
from bytemlperf.workload import TokenBounds


@pytest.fixture(scope="module")
def report():
    return run(
        SMALL, backend=TorchGenerationBackend(), weights="random", prompts=Lengths(input=6, output=4, samples=8),
        checks=["performance", "numeric"], scenarios=[ClosedLoop(clients=2, queries=12)], numeric_samples=3,
        bounds=TokenBounds(ttft_ms=1e6, tpot_ms=1e6),
    )  # fmt: skip


def test_generated_tokens_are_the_references(report):
    assert report.failures == ()
    (row,) = report.rows_of("numeric")
    assert row.passed
    assert row.metrics["tokens/agreement"].value == 1
    assert row.metrics["tokens/agreement"].n == 3 * 4
    assert row.metrics["tokens/first_difference"].value is None
    assert row.metrics["numeric/logits/max_rel"].value < 1e-5
    assert row.metrics["numeric/logits/max_rel"].n == 3 * 4 * 64


def test_goodput_is_counted_under_the_jobs_bounds(report):
    (row,) = report.rows_of("performance")
    share = row.metrics["goodput/share"]
    assert (share.value, share.n) == (1, 12)
    assert "ttft_ms <= 1e+06, tpot_ms <= 1e+06" in share.definition


def test_the_originals_keys_hold_our_figures(report):
    written = to_language_report([report])
    assert set(written) == {
        "Model", "Backend", "Host Info", "Version", "Execution Date", "Min New Tokens", "Max New Tokens", "Accuracy",
        "Performance", "Definitions",
    }  # fmt: skip
    (entry,) = written["Performance"]
    row = report.rows_of("performance")[0]
    assert (entry["TP Size"], entry["Batch Size"], entry["Input Tokens"], entry["Request Number"]) == (1, 2, 6, 12)
    assert entry["client"]["First Token Latency(AVG)"] == row.metrics["ttft/mean"].value / 1e6
    assert entry["client"]["Per Token Latency(P90)"] == row.metrics["tpot/p90"].value / 1e6
    assert entry["server"]["Context Wait Time(AVG)"] == row.metrics["vendor_reported/queue_ms/mean"].value
    assert entry["server"]["Decode Model Time(AVG)"] == row.metrics["vendor_reported/decode_ms/mean"].value / 3
    assert entry["Token Throughput"] == row.metrics["throughput/output_tokens_per_s"].value
    logits, tokens = written["Accuracy"]["Logits Diff"], written["Accuracy"]["Token Diff"]
    assert set(logits) == {"Max Difference", "Mean Squared Error", "Mean Absolute Error", "Cosine Similarity"}
    assert logits["Max Difference"] ** 2 >= logits["Mean Squared Error"] >= logits["Mean Absolute Error"] ** 2
    assert tokens == {"Prompt Num": 3, "Agreement": 1, "First Difference": None, "Largest Gap": 0}
    assert written["Definitions"] == DEFINITIONS


def test_reports_of_one_model_are_joined(report):
    other = attrs.evolve(report, job=attrs.evolve(report.job, options={"tensor_parallel": 2}), rows=report.rows[:1])
    entries = to_language_report([report, other])["Performance"]
    assert len(entries) == 1 + len(other.rows_of("performance"))
    with pytest.raises(SpecError, match="several models"):
        to_language_report([report, attrs.evolve(report, job=attrs.evolve(report.job, backend="openai"))])
    with pytest.raises(SpecError, match="no report"):
        to_language_report([])


def test_a_mean_squared_error_is_that_of_mean_and_deviation(report):
    (row,) = report.rows_of("numeric")
    figures = {name: Estimate(value=value, unit="1") for name, value in
               (("numeric/logits/mean_abs", 3.0), ("numeric/logits/std_abs", 4.0))}  # fmt: skip
    made = attrs.evolve(report, rows=(attrs.evolve(row, metrics=figures),))
    assert to_language_report([made])["Accuracy"]["Logits Diff"]["Mean Squared Error"] == 25
