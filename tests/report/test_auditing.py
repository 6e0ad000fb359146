"""What an audit finds, one thing at a time; and that it finds nothing where nothing is wrong."""

import json
import math

import attrs
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.report.audited_samples import result, row, written
from tests.report.compared_samples import gamma, saved, scored_row, timed_row
from tests.report.report_samples import ENVIRONMENT, compile_info, compile_row, report

from bytemlperf.backends.compiled import CompileInfo
from bytemlperf.environment import Timer
from bytemlperf.errors import SpecError
from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report import FindingKind, Report, Severity, audit
from bytemlperf.report.auditing.foreign import audit_bytemlperf
from bytemlperf.report.auditing.laws import in_flight, is_maximum, needed, rounded_to

ENOUGH = 1000


def found(path, **more):
    """FindingKind, severity and row of each finding."""
    return {(each.kind, each.severity, each.row) for each in audit(path, **{"queries": ENOUGH, **more}).findings}


def kinds(path, **more):
    return {kind for kind, _, _ in found(path, **more)}


def section(name, **more):
    return {name: {k: v for k, v in {**result()[name], **more}.items() if v is not None}}


def test_a_sound_result_has_no_finding(tmp_path):
    assert found(written(tmp_path, result())) == set()


@pytest.mark.parametrize(("p", "expected"), [(0.9, 44), (0.95, 90), (0.97, 152), (0.99, 459), (0.999, 4603)])
def test_the_queries_needed_are_mlperfs(p, expected):
    assert needed(p) == expected


def test_a_percentile_of_100_is_the_slowest_and_of_101_is_not():
    assert (is_maximum(100, 0.99), is_maximum(101, 0.99), is_maximum(10, 0.9)) == (True, False, True)
    assert sorted(range(102))[int(102 * 0.99)] == 100


def test_littles_law_by_hand():
    # 800 samples/s in eights are 100 queries/s; 40 ms each: 4 at once.
    flight = in_flight(rounded_to(100.0, 0.0), rounded_to(0.040, 0.0))
    assert flight.value == pytest.approx(4)
    assert rounded_to(2.0, 0.01).relative == pytest.approx(0.0025)


LITTLE = (FindingKind.LITTLES_LAW, Severity.ERROR, "BS 8")


def test_more_in_flight_than_the_stated_instances_take_is_an_error(tmp_path):
    four = [row(8, qps=800.4, average_ms=39.5, p99_ms=50.0)]
    assert LITTLE in found(written(tmp_path, result(Performance=four)))
    stated = {"Instance Count": 4}
    assert kinds(written(tmp_path, result(Performance=four, **stated))) == set()
    (finding,) = audit(written(tmp_path, result(Performance=four)), queries=ENOUGH).findings
    assert "3.95 queries in flight" in finding.reason
    assert "take 1 at once" in finding.reason


def test_devices_stand_for_instances_too(tmp_path):
    four = result(Performance=[row(8, qps=800.4, average_ms=39.5, p99_ms=50.0)], **{"Device Count": 4})
    assert kinds(written(tmp_path, four)) == set()


def test_several_in_flight_where_nothing_is_stated_is_a_warning(tmp_path):
    data = result(Performance=[row(8, average_ms=39.5, p99_ms=50.0)], **{"Instance Count": None, "Device Count": None})
    assert (FindingKind.CONCURRENCY_UNSTATED, Severity.WARNING, "BS 8") in found(written(tmp_path, data))


def test_what_rounding_explains_is_no_breach(tmp_path):
    # 0.04 ms may be 0.035: 1.14 in flight as written, but 1.0 as it may have been.
    data = result(Performance=[row(1, qps=28_571.43, average_ms=0.04, p99_ms=0.9)])
    assert FindingKind.LITTLES_LAW not in kinds(written(tmp_path, data))


def test_time_that_is_lost_between_queries_is_told(tmp_path):
    data = result(Performance=[row(8, qps=400.2)])
    assert (FindingKind.INCONSISTENT_THROUGHPUT, Severity.WARNING, "BS 8") in found(written(tmp_path, data))


def test_throughput_made_of_the_latency_is_told(tmp_path):
    data = result(Performance=[row(8, qps=int(8000 / 9.95))])
    assert found(written(tmp_path, data)) == {(FindingKind.DERIVED_THROUGHPUT, Severity.NOTE, "BS 8")}


def test_a_latency_made_of_the_throughput_is_told(tmp_path):
    data = result(Performance=[row(8, qps=804.02, average_ms=round(8 * 8000 / 804.02, 2), p99_ms=90.0)])
    assert (FindingKind.DERIVED_THROUGHPUT, Severity.WARNING, "BS 8") in found(written(tmp_path, data))


def test_a_percentile_below_the_mean_is_an_error(tmp_path):
    data = result(Performance=[row(8, p99_ms=9.9)])
    assert (FindingKind.PERCENTILE_ORDER, Severity.ERROR, "BS 8") in found(written(tmp_path, data))


@pytest.mark.parametrize("p99", [9.95, 9.96])
def test_a_percentile_that_is_the_mean_has_no_spread(tmp_path, p99):
    assert kinds(written(tmp_path, result(Performance=[row(8, p99_ms=p99)]))) == {FindingKind.NO_SPREAD}


def test_a_percentile_of_another_unit_is_seen(tmp_path):
    assert kinds(written(tmp_path, result(Performance=[row(8, p99_ms=12_500)]))) == {FindingKind.UNITS}


def test_a_latency_of_which_rounding_is_a_part_is_told(tmp_path):
    coarse = result(Performance=[row(8, qps=8690.21, average_ms=0.92, p99_ms=1.5)])
    fine = result(Performance=[row(8, qps=4_020.0, average_ms=1.98, p99_ms=2.5)])
    assert (FindingKind.ROUNDED_AWAY, Severity.WARNING, "BS 8") in found(written(tmp_path, coarse))
    assert (FindingKind.ROUNDED_AWAY, Severity.NOTE, "BS 8") in found(written(tmp_path, fine))


def test_a_difference_without_digits_is_told(tmp_path):
    data = result(**section("Accuracy", **{"Mean Diff": 1e-05}))
    assert kinds(written(tmp_path, data)) == {FindingKind.ROUNDED_AWAY}


def test_the_number_of_queries_is_asked_for(tmp_path):
    path = written(tmp_path, result())
    assert kinds(path, queries=None) == {FindingKind.SAMPLES_UNKNOWN}
    assert kinds(path, queries=100) == {FindingKind.TOO_FEW_SAMPLES, FindingKind.PERCENTILE_IS_MAXIMUM}
    assert kinds(path, queries=200) == {FindingKind.TOO_FEW_SAMPLES}
    assert kinds(path, queries=459) == set()


@pytest.mark.parametrize("name", ["Model", "Backend", "Host Info", "Dataset", "Version", "Execution Date"])
def test_a_missing_field_is_told(tmp_path, name):
    assert found(written(tmp_path, result(**{name: None}))) == {(FindingKind.MISSING_FIELD, Severity.WARNING, "")}


@pytest.mark.parametrize("name", ["Compile Duration", "Compile Precision", "Subgraph Coverage"])
def test_a_missing_field_of_compilation_is_told(tmp_path, name):
    assert kinds(written(tmp_path, result(**section("Graph Compile", **{name: None})))) == {FindingKind.MISSING_FIELD}


def test_a_missing_section_is_told(tmp_path):
    assert FindingKind.MISSING_FIELD in kinds(written(tmp_path, result(Performance=None)))
    assert kinds(written(tmp_path, result(Accuracy=None))) == {FindingKind.NO_ACCURACY}


def test_a_renamed_field_is_read_under_its_other_name(tmp_path):
    renamed = {"BS": 8, "QPS": 800.4, "AVG_Latency": 39.5, "P99_Latency": 50.0}
    data = result(Performance=[renamed])
    assert kinds(written(tmp_path, data)) == {FindingKind.RENAMED_FIELD, FindingKind.LITTLES_LAW}


@pytest.mark.parametrize("value", [0, -3, "fast", True, [1]])
def test_what_is_no_number_is_an_error(tmp_path, value):
    data = result(Performance=[row(8, qps=value)])
    assert (FindingKind.NO_NUMBER, Severity.ERROR, "BS 8") in found(written(tmp_path, data))


def test_a_number_that_json_does_not_have_is_an_error(tmp_path):
    path = written(tmp_path, result(Performance=[row(8, qps=math.nan)]))
    assert FindingKind.NO_NUMBER in kinds(path)
    huge = written(tmp_path, result())
    huge.write_text(huge.read_text().replace("800.4", "9" * 400))
    assert FindingKind.NO_NUMBER in kinds(huge)


def test_a_number_as_text_is_told(tmp_path):
    data = result(**section("Graph Compile", **{"Sparsity Ratio": "0.9375"}))
    assert found(written(tmp_path, data)) == {(FindingKind.NO_NUMBER, Severity.NOTE, "")}


@pytest.mark.parametrize(("coverage", "expected"), [(100, True), (100.0, False), (88.9, False)])
def test_the_literal_100_is_told(tmp_path, coverage, expected):
    data = result(**section("Graph Compile", **{"Subgraph Coverage": coverage}))
    assert (FindingKind.COVERAGE_LITERAL in kinds(written(tmp_path, data))) is expected


@pytest.mark.parametrize("coverage", [101, -1, "all"])
def test_a_coverage_that_cannot_be_is_an_error(tmp_path, coverage):
    data = result(**section("Graph Compile", **{"Subgraph Coverage": coverage}))
    assert (FindingKind.UNITS, Severity.ERROR, "") in found(written(tmp_path, data))


@pytest.mark.parametrize(
    ("count", "severity"), [(0, Severity.ERROR), ("2", Severity.ERROR), (True, Severity.ERROR), (128, Severity.WARNING)]
)
def test_a_device_count_that_cannot_be_is_told(tmp_path, count, severity):
    assert (FindingKind.DEVICE_COUNT, severity, "") in found(written(tmp_path, result(**{"Device Count": count})))


def test_a_name_that_tells_another_precision_is_an_error(tmp_path):
    path = written(tmp_path, result(**section("Graph Compile", **{"Compile Precision": "BF16"})))
    (finding,) = audit(path, queries=ENOUGH).findings
    assert (finding.kind, finding.severity) == (FindingKind.PRECISION_MISMATCH, Severity.ERROR)
    assert "Diff Dist tells FP16 and the file's name tells FP16" in finding.reason


def test_a_name_without_a_precision_is_not_held_against_it(tmp_path):
    data = result(**section("Accuracy", **{"Diff Dist": "net-torch-fp32.png"}))
    assert kinds(written(tmp_path, data, name="result.json")) == set()


def test_a_folder_of_another_model_or_backend_is_told(tmp_path):
    assert kinds(written(tmp_path, result(), model="other-torch-fp32")) == {FindingKind.NAME_MISMATCH}
    assert kinds(written(tmp_path, result(), backend="OTHER")) == {FindingKind.NAME_MISMATCH}


def test_a_folder_of_no_layout_is_not_held_against_it(tmp_path):
    assert kinds(written(tmp_path, result(), backend="x", model="results")) == set()


def test_a_compilation_that_took_no_time_is_told(tmp_path):
    data = result(**section("Graph Compile", **{"Compile Duration": 3e-05}))
    assert kinds(written(tmp_path, data)) == {FindingKind.NOTHING_COMPILED}


def test_made_up_data_gives_no_accuracy(tmp_path):
    data = result(Dataset="FAKE_DATASET", **section("Accuracy", **{"Top-1": None, "Data Percent": None}))
    (finding,) = audit(written(tmp_path, data), queries=ENOUGH).findings
    assert finding.kind is FindingKind.NO_ACCURACY
    assert "made up" in finding.reason


@pytest.mark.parametrize(("name", "value"), [("Top-1", 76.5), ("F1 Score", 101), ("Data Percent", 120), ("Top-1", -1)])
def test_a_score_beyond_its_unit_is_an_error(tmp_path, name, value):
    assert (FindingKind.UNITS, Severity.ERROR, "") in found(
        written(tmp_path, result(**section("Accuracy", **{name: value})))
    )


def test_differences_that_contradict_each_other_are_errors(tmp_path):
    path = written(tmp_path, result(**section("Accuracy", **{"Mean Diff": 3.0})))
    assert found(path) == {(FindingKind.NUMERIC_ORDER, Severity.ERROR, "")}
    assert kinds(written(tmp_path, result(**section("Accuracy", **{"Std Diff": "wide"})))) == {FindingKind.NO_NUMBER}


def test_two_rows_of_one_batch_size_are_an_error(tmp_path):
    data = result(Performance=[row(8), row(8), row(16, average_ms=19.9, p99_ms=25)])
    assert found(written(tmp_path, data)) == {(FindingKind.DUPLICATE, Severity.ERROR, "BS 8")}


@pytest.mark.parametrize("text", ["{", "[1, 2]", "7", '{"some": "thing"}', '{"schema_version": 3}', ""])
def test_what_is_no_report_is_an_error_and_stops_nothing(tmp_path, text):
    bad = tmp_path / "bad.json"
    bad.write_text(text)
    told = audit(bad, written(tmp_path, result()), queries=ENOUGH)
    assert [(each.kind, each.file) for each in told.findings] == [(FindingKind.UNREADABLE, str(bad))]
    assert (len(told.files), told.rows) == (2, 1)


def test_a_file_that_is_not_there_is_a_bad_request(tmp_path):
    with pytest.raises(SpecError, match="no such file"):
        audit(tmp_path / "none.json")
    with pytest.raises(SpecError, match="nothing to audit"):
        audit()
    with pytest.raises(SpecError, match="number of queries"):
        audit(written(tmp_path, result()), queries=0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_value_of_any_field_stops_an_audit(data):
    whole = result()
    for name in data.draw(st.lists(st.sampled_from(sorted(whole)), max_size=4)):
        whole[name] = data.draw(json_values)
    inner = data.draw(st.sampled_from(["Accuracy", "Graph Compile"]))
    if isinstance(whole[inner], dict) and whole[inner]:
        whole[inner][data.draw(st.sampled_from(sorted(whole[inner])))] = data.draw(json_values)
    whole["Performance"] = data.draw(
        st.lists(st.dictionaries(st.sampled_from(["BS", "QPS", "AVG Latency", "P99_Latency"]), json_values), max_size=3)
    )
    for each in audit_bytemlperf(whole, file="x"):
        assert each.reason


# ----------------------------------------------------------------------------------------- reports of this package


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def sound(folder, **more):
    """A report in which nothing is wrong: enough queries, accuracy, placement told."""
    rng = np.random.default_rng(0)
    rows = [compile_row(), scored_row(folder, np.arange(400) > 9), timed_row(folder, gamma(rng, 2000))]
    values = {"rows": rows, "compiles": {compile_row().key: compile_info()}}
    rows[0] = attrs.evolve(rows[0], part="")
    return report(folder=folder, **{**values, **more})


def own(report):
    return {(each.kind, each.severity) for each in audit(report).findings}


def with_figures(folder, **changed):
    """A sound report whose timed row has other figures, without stamps that would contradict them."""
    whole = sound(folder)
    timed = attrs.evolve(whole.rows[2], files=(), metrics={**whole.rows[2].metrics, **changed})
    return attrs.evolve(whole, rows=(*whole.rows[:2], timed))


def figure(report, name, **more):
    return {name: attrs.evolve(report.rows[2].metrics[name], **more)}


def test_a_sound_report_has_no_finding(folder):
    assert own(sound(folder)) == set()


def test_a_saved_report_is_audited_with_its_raw_data(folder):
    sound(folder).save(folder, plots=False)
    for path in (folder, folder / "report.json"):
        told = audit(path)
        assert (told.findings, told.rows) == ((), 3)


def test_a_report_that_was_changed_is_an_error(folder):
    path = sound(folder).save(folder, plots=False)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "duration_s": 1.0}))
    assert {each.kind for each in audit(path).findings} == {FindingKind.CHANGED}
    path.write_text(json.dumps({**data, "rows": 3}))
    assert {each.kind for each in audit(path).findings} == {FindingKind.UNREADABLE}


def test_stamps_that_give_another_figure_are_an_error(folder):
    whole = sound(folder)
    path = folder / whole.rows[2].files[0]
    timed_row(folder, gamma(np.random.default_rng(9), 2000))
    assert (FindingKind.STAMPS_DISAGREE, Severity.ERROR) in own(whole)
    path.write_bytes(b"none")
    assert own(whole) == {(FindingKind.STAMPS_DISAGREE, Severity.ERROR)}
    path.unlink()
    assert own(whole) == {(FindingKind.CHANGED, Severity.WARNING)}


def test_figures_over_several_processes_are_computed_again(folder):
    rng = np.random.default_rng(1)
    rows = [scored_row(folder, np.arange(400) > 9), timed_row(folder, *(gamma(rng, 700) for _ in range(3)))]
    assert own(saved(folder, rows)) == set()
    few = [rows[0], timed_row(folder, *(gamma(rng, 100) for _ in range(3)))]
    assert own(saved(folder, few)) == {
        (FindingKind.TOO_FEW_SAMPLES, Severity.WARNING),
        (FindingKind.PERCENTILE_IS_MAXIMUM, Severity.WARNING),
    }


def test_a_clock_in_coarse_steps_is_told(folder):
    coarse = attrs.evolve(ENVIRONMENT, timer=Timer(clock="c", resolution_ns=100_000))
    assert own(sound(folder, environment=coarse)) == {(FindingKind.ROUNDED_AWAY, Severity.WARNING)}


def test_speed_without_accuracy_is_told(folder):
    whole = sound(folder)
    assert own(attrs.evolve(whole, rows=(whole.rows[0], whole.rows[2]))) == {
        (FindingKind.NO_ACCURACY, Severity.WARNING)
    }


def test_facts_that_are_missing_are_told(folder):
    unknown = attrs.evolve(ENVIRONMENT, cpu=attrs.evolve(ENVIRONMENT.cpu, model="unknown"))
    assert len(audit(sound(folder, artifact=None, backend=None, environment=unknown)).findings) == 3


def test_coverage_without_a_placement_is_an_error(folder):
    info = {compile_row().key: CompileInfo(precision="fp32")}
    assert own(sound(folder, compiles=info)) == {(FindingKind.COVERAGE_LITERAL, Severity.ERROR)}


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("latency/p99", {"value": 9e8, "low": None, "high": None}, FindingKind.PERCENTILE_ORDER),
        ("latency/p50", {"value": 9e8, "low": 8e8, "high": 9e9}, FindingKind.PERCENTILE_ORDER),
        ("latency/mean", {"value": 9e8, "low": 8e8, "high": 9e9}, FindingKind.PERCENTILE_ORDER),
        ("latency/mean", {"value": 1.2e6, "low": 1e6, "high": 2e6}, FindingKind.LITTLES_LAW),
        ("latency/mean", {"value": 0.8e6, "low": 0.1e6, "high": 2e6}, FindingKind.INCONSISTENT_THROUGHPUT),
        ("latency/p90", {"low": 1.0, "high": 2.0}, FindingKind.INTERVAL),
        ("latency/p90", {"unit": "ms"}, FindingKind.UNITS),
        ("latency/p90", {"high": None}, FindingKind.NO_INTERVAL),
        ("latency/p90", {"definition": ""}, FindingKind.MISSING_FIELD),
        ("latency/p90", {"n": 43}, FindingKind.TOO_FEW_SAMPLES),
        ("latency/p90", {"n": 9}, FindingKind.PERCENTILE_IS_MAXIMUM),
        ("latency/min", {"value": 0}, FindingKind.NO_NUMBER),
        ("latency/mean", {"value": None}, FindingKind.MISSING_FIELD),
        ("throughput/samples_per_s", {"value": 5e3, "low": 1.0, "high": 1e4}, FindingKind.INCONSISTENT_THROUGHPUT),
        ("queries/planned", {"value": 2500}, FindingKind.COUNTS),
        ("queries/failed", {"value": 3}, FindingKind.COUNTS),
    ],
)
def test_a_figure_that_cannot_be_is_told(folder, name, change, expected):
    whole = sound(folder)
    assert expected in {kind for kind, _ in own(with_figures(folder, **figure(whole, name, **change)))}


def test_a_score_that_is_no_share_is_an_error(folder):
    whole = sound(folder)
    row = attrs.evolve(
        whole.rows[1],
        metrics={"accuracy/top1": Estimate(value=98, unit="1", low=97, high=99, n=400, definition="per cent")},
    )
    assert own(attrs.evolve(whole, rows=(whole.rows[0], row, whole.rows[2]))) == {(FindingKind.UNITS, Severity.ERROR)}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"precision": "fp16"}, FindingKind.PRECISION_MISMATCH),
        ({"devices": ["cpu", "cpu"]}, FindingKind.DEVICE_COUNT),
        ({"devices": ["npu:7"]}, FindingKind.DEVICE_COUNT),
    ],
)
def test_a_row_that_is_not_what_its_key_tells_is_told(folder, change, expected):
    whole = sound(folder)
    rows = (*whole.rows[:2], attrs.evolve(whole.rows[2], **change))
    assert expected in {kind for kind, _ in own(attrs.evolve(whole, rows=rows))}


def test_our_own_sample_report_is_told_apart_by_its_few_queries():
    told = audit(report())
    assert {each.kind for each in told.findings} >= {FindingKind.TOO_FEW_SAMPLES}
    assert not told.errors


# ---------------------------------------------------------------------------------------------------- as it is shown


@pytest.fixture
def told(tmp_path):
    odd = result(Performance=[row(8, average_ms=39.5, p99_ms=50)], **{"Host Info": None})
    return audit(written(tmp_path, odd), written(tmp_path, result(), name="result.json"), queries=300)


def test_the_counts_are_of_all_findings(told):
    assert told.counts == {FindingKind.TOO_FEW_SAMPLES: 2, FindingKind.MISSING_FIELD: 1, FindingKind.LITTLES_LAW: 1}
    assert len(told.errors) == 1


def test_the_exit_code_tells_errors_and_strictly_warnings(told, tmp_path):
    assert told.exit_code() == 1
    warned = audit(written(tmp_path, result()), queries=300)
    assert (warned.exit_code(), warned.exit_code(strict=True)) == (0, 1)
    assert audit(written(tmp_path, result()), queries=ENOUGH).exit_code(strict=True) == 0


def test_the_text_tells_every_finding_in_eighty_columns(told):
    text = str(told)
    assert max(map(len, text.splitlines())) <= 80
    assert "2 files, 2 rows: 1 errors, 3 warnings, 0 notes" in text
    for each in told.findings:
        assert each.kind in text


def test_without_a_finding_there_is_only_the_headline(tmp_path):
    text = str(audit(written(tmp_path, result()), queries=ENOUGH))
    assert text == "1 files, 1 rows: 0 errors, 0 warnings, 0 notes"


def test_markdown_and_json_hold_every_finding(told):
    assert told.to_markdown().count("| littles") == 2
    assert told._repr_markdown_() == told.to_markdown()
    data = json.loads(json.dumps(told.to_dict()))
    assert [each["reason"] for each in data["findings"]] == [each.reason for each in told.findings]
    assert data["schema_version"] == "1.0"


def test_a_report_in_memory_has_a_name():
    assert isinstance(report(), Report)
    (name,) = audit(report()).files
    assert name.startswith("report ")
