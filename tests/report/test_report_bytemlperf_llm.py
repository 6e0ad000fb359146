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
    told = {name.rpartition("(")[0]: entry["server"][name] for name in entry["server"] if name.endswith("(AVG)")}
    assert told == {
        "Context Wait Time": row.metrics["vendor_reported/prefill_wait_ms/mean"].value,
        "Context Model Time": row.metrics["vendor_reported/prefill_model_ms/mean"].value,
        "Decode Wait Time": row.metrics["vendor_reported/decode_wait_ms/mean"].value / 3,
        "Decode Model Time": row.metrics["vendor_reported/decode_model_ms/mean"].value / 3,
    }
    assert entry["server"]["Decode Wait Time(P90)"] == row.metrics["vendor_reported/decode_wait_ms/p90"].value / 3
    assert len(entry["server"]) == 8
    assert entry["Token Throughput"] == row.metrics["throughput/output_tokens_per_s"].value
    logits, tokens = written["Accuracy"]["Logits Diff"], written["Accuracy"]["Token Diff"]
    assert set(logits) == {"Max Difference", "Mean Squared Error", "Mean Absolute Error", "Cosine Similarity"}
    assert logits["Max Difference"] ** 2 >= logits["Mean Squared Error"] >= logits["Mean Absolute Error"] ** 2
    apart = report.rows_of("numeric")[0].metrics["tokens/largest_logit_difference"]
    assert (apart.n, 0 < apart.value <= logits["Max Difference"]) == (3 * 4, True)
    assert tokens == {
        "Max Difference": apart.value, "Prompt Num": 3, "Agreement": 1, "First Difference": None, "Largest Gap": 0,
    }  # fmt: skip
    assert written["Definitions"] == DEFINITIONS


def test_reports_of_one_model_are_joined(report):
    other = attrs.evolve(report, job=attrs.evolve(report.job, options={"tensor_parallel": 2}), rows=report.rows[:1])
    entries = to_language_report([report, other])["Performance"]
    assert len(entries) == 1 + len(other.rows_of("performance"))
    with pytest.raises(SpecError, match="several models"):
        to_language_report([report, attrs.evolve(report, job=attrs.evolve(report.job, backend="openai"))])
    with pytest.raises(SpecError, match="no report"):
        to_language_report([])


def test_the_engines_times_add_up_to_what_it_tells_of_each_query(report):
    (row,) = report.rows_of("performance")
    told = {name: row.metrics[f"vendor_reported/{name}_ms/mean"].value for name in (
        "queue", "prefill", "decode", "prefill_wait", "prefill_model", "decode_wait", "decode_model",
    )}  # fmt: skip
    assert told["prefill_wait"] + told["prefill_model"] == pytest.approx(told["queue"] + told["prefill"])
    assert told["decode_wait"] + told["decode_model"] == pytest.approx(told["decode"])
    assert min(told.values()) >= 0
    assert told["prefill_model"] > 0 < told["decode_model"]
    assert told["queue"] + told["prefill"] + told["decode"] <= row.metrics["latency/mean"].value / 1e6


def test_answers_of_several_lengths_have_no_time_of_each_further_token(report):
    varied = attrs.evolve(report, job=attrs.evolve(report.job, prompts=Lengths(input=6, output=(3, 5))))
    (entry,) = to_language_report([varied])["Performance"]
    assert {name.rpartition("(")[0] for name in entry["server"]} == {"Context Wait Time", "Context Model Time"}


def figured(row, **values):
    made = {"mean_abs": "numeric/logits", "std_abs": "numeric/logits", "max_abs": "numeric/logits"}
    metrics = {f"{made.get(name, 'tokens')}/{name}": Estimate(value=value, unit="1", n=n)
               for name, (value, n) in values.items()}  # fmt: skip
    return attrs.evolve(row, metrics=metrics)


def test_several_jobs_that_compare_tokens_are_joined(report):
    (row,) = report.rows_of("numeric")
    first = figured(
        row, mean_abs=(1.0, 30), std_abs=(0.0, 30), max_abs=(2.0, 30), answers_equal=(1.0, 3), agreement=(1.0, 10),
        first_difference=(None, 3), largest_gap=(0.0, 10), largest_logit_difference=(0.5, 10),
    )  # fmt: skip
    second = figured(
        row, mean_abs=(3.0, 10), std_abs=(4.0, 10), max_abs=(9.0, 10), answers_equal=(0.0, 1), agreement=(0.5, 30),
        first_difference=(7, 1), largest_gap=(0.25, 30), largest_logit_difference=(0.125, 30),
    )  # fmt: skip
    written = to_language_report([attrs.evolve(report, rows=(each,)) for each in (first, second)])["Accuracy"]
    assert written["Logits Diff"] == {
        "Max Difference": 9.0, "Mean Squared Error": (30 * 1 + 10 * 25) / 40, "Mean Absolute Error": 60 / 40,
        "Cosine Similarity": None,
    }  # fmt: skip
    assert written["Token Diff"] == {
        "Max Difference": 0.5, "Prompt Num": 4, "Agreement": 25 / 40, "First Difference": 7, "Largest Gap": 0.25,
    }  # fmt: skip


def test_a_mean_squared_error_is_that_of_mean_and_deviation(report):
    (row,) = report.rows_of("numeric")
    figures = {name: Estimate(value=value, unit="1") for name, value in
               (("numeric/logits/mean_abs", 3.0), ("numeric/logits/std_abs", 4.0))}  # fmt: skip
    made = attrs.evolve(report, rows=(attrs.evolve(row, metrics=figures),))
    assert to_language_report([made])["Accuracy"]["Logits Diff"]["Mean Squared Error"] == 25
