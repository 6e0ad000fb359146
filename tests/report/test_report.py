import json
import math
from pathlib import Path

import attrs
import pytest
from tests.report.report_samples import (
    ENVIRONMENT,
    accuracy_row,
    compile_info,
    failed_report,
    numeric_row,
    performance_row,
    report,
)

from bytemlperf import errors
from bytemlperf.backends.compiled import CompileInfo
from bytemlperf.errors import BenchmarkError, ChecksumError, CrashError, ResultError, SpecError
from bytemlperf.failure import Failure, error_of
from bytemlperf.report import NotMeasured, Outcome, Part, Report, RowKind, judge, new_part_id
from bytemlperf.report.schema import validate
from bytemlperf.workload import MEASURED

UNDECIDED = report(
    rows=[performance_row()], not_measured=[NotMeasured(check="accuracy", reason="random weights give none")]
)


def test_a_whole_report_is_ok():
    whole = report()
    assert whole.ok
    assert whole.verdict.outcome is Outcome.PASS
    whole.raise_for_status()


def test_an_undecided_report_is_ok_and_its_verdict_says_so():
    assert UNDECIDED.ok
    assert UNDECIDED.verdict.outcome is Outcome.UNDECIDED
    UNDECIDED.raise_for_status()


@pytest.mark.parametrize("status", ["partial", "failed", "cancelled"])
def test_a_report_that_is_not_complete_is_not_ok(status):
    broken = report(status=status)
    assert not broken.ok
    with pytest.raises(BenchmarkError):
        broken.raise_for_status()


def test_the_first_failure_is_raised_as_what_it_was():
    with pytest.raises(CrashError, match=r"SIGSEGV.*and 1 more failure") as caught:
        failed_report().raise_for_status()
    assert caught.value.signal == "SIGSEGV"
    assert caught.value.log_tail.startswith("loading engine")


@pytest.mark.parametrize("code", list(errors.FailureCode))
def test_every_failure_code_has_its_error(code):
    failure = Failure(code=code, blame=errors.Blame.BACKEND, step="step", message="told", operator="Einsum")
    error = error_of(failure)
    assert error.code is code
    assert error.operator == "Einsum"


def test_a_failed_verdict_raises_its_reasons():
    rows = [attrs.evolve(accuracy_row(), passed=False, note="0.95 is below 0.97")]
    with pytest.raises(ResultError, match=r"0.95 is below 0.97"):
        report(rows=rows).raise_for_status()


def test_figures_are_found_by_name():
    whole = report()
    assert whole.metrics["accuracy/top1"].n == 360
    assert whole.metrics["compile/cold/time_to_first_answer_s"].value == pytest.approx(0.0543)
    assert [row.batch_size for row in whole.rows_of(RowKind.PERFORMANCE)] == [1, 8, 1, 8]
    assert whole.rows_of("performance") == whole.rows_of(RowKind.PERFORMANCE)
    with pytest.raises(SpecError, match="performance"):
        whole.rows_of("performace")


def test_the_json_form_comes_back_equal():
    for each in (report(), failed_report(), UNDECIDED):
        data = json.loads(json.dumps(each.to_dict(), allow_nan=False))
        back = Report.from_dict(data)
        assert back == each
        assert back.to_dict() == data
        assert back.digest == each.digest == data["digest"]


def test_every_report_fits_the_schema():
    for each in (report(), failed_report(), UNDECIDED, report(artifact=None, dataset=None, backend=None, rows=())):
        validate(json.loads(json.dumps(each.to_dict())))


def test_reading_does_not_change_what_is_read():
    data = report().to_dict()
    before = json.dumps(data)
    Report.from_dict(data)
    assert json.dumps(data) == before


def test_two_rows_with_one_key_are_refused():
    with pytest.raises(SpecError, match="same key"):
        report(rows=[performance_row(), performance_row()])


def test_a_row_of_an_unknown_part_is_refused():
    with pytest.raises(SpecError, match="part"):
        report(parts=[Part(id="other", started_utc="2026-01-31T12:00:00Z")])


@pytest.mark.parametrize("duration", [-1.0, math.nan, math.inf])
def test_a_wrong_duration_is_refused(duration):
    with pytest.raises(SpecError, match="duration_s"):
        report(duration_s=duration)


def test_where_a_compilers_files_lay_is_not_told():
    info = attrs.evolve(compile_info(), files=["/home/someone/cache/model.bin", "below/here.bin"])
    whole = report(compiles={"compile": info})
    assert whole.compiles["compile"].files == (Path("model.bin"), Path("below/here.bin"))
    assert "someone" not in json.dumps(whole.to_dict())


def test_numbers_that_json_lacks_are_never_written():
    info = CompileInfo(precision="fp32", optimizations={"scale": math.inf, "fast": True})
    row = attrs.evolve(performance_row(), bytemlperf={"QPS": math.nan})
    environment = attrs.evolve(ENVIRONMENT, load_average=(math.nan, 0.5))
    whole = report(rows=[row], compiles={"compile": info}, environment=environment)
    data = json.loads(json.dumps(whole.to_dict(), allow_nan=False))
    assert data["compiles"]["compile"]["optimizations"] == {"scale": "inf", "fast": True}
    assert data["rows"][0]["bytemlperf"] == {"QPS": None}
    assert data["environment"]["load_average"] == [None, 0.5]


def test_a_changed_report_is_refused_unless_asked():
    data = report().to_dict()
    data["rows"][1]["metrics"]["accuracy/top1"]["value"] = 1.0
    with pytest.raises(ChecksumError, match="changed after it was written"):
        Report.from_dict(data)
    assert Report.from_dict(data, verify=False).metrics["accuracy/top1"].value == 1.0


@pytest.mark.parametrize("version", [None, 1, "", "1", "1.0.0", "v1.0", "0.9"])
def test_no_version_is_no_report(version):
    data = report().to_dict() | {"schema_version": version}
    with pytest.raises(SpecError, match="schema_version"):
        Report.from_dict(data, verify=False)


def test_a_newer_major_version_is_refused_with_what_to_do():
    with pytest.raises(SpecError, match=r"newer major version.*newer bytemlperf"):
        Report.from_dict(report().to_dict() | {"schema_version": "2.0"}, verify=False)


def test_unknown_keys_of_our_own_version_are_refused_with_a_guess():
    with pytest.raises(SpecError, match=r"unknown key \(at \$\.statsu\).*'status'"):
        Report.from_dict(report().to_dict() | {"statsu": "complete"}, verify=False)
    for name in ("folder", "extras"):
        with pytest.raises(SpecError, match="unknown key"):
            Report.from_dict(report().to_dict() | {name: {}}, verify=False)


def newer(digest=True):
    """Make what version 1.7 might write."""
    data = json.loads(json.dumps(report().to_dict())) | {"schema_version": "1.7"}
    data["power"] = {"watts": [1.5, None]}
    data["rows"][0]["energy/j"] = 3
    data["rows"][1]["metrics"]["accuracy/top1"]["method"] = "exact"
    data["job"]["scenarios"][0]["warmup"]["cool~down"] = {"s": 1}
    data["environment"]["cpu"]["cache"] = None
    data["compiles"]["compile/batch=8/fp32"]["segments"][1]["why"] = "no kernel"
    if digest:
        from bytemlperf.spec import digest as digest_of

        data["digest"] = digest_of({name: value for name, value in data.items() if name != "digest"})
    return data


def test_unknown_keys_of_a_newer_minor_version_are_kept_and_written_back():
    data = newer()
    read = Report.from_dict(data)
    assert read.extras == {
        "/power": {"watts": [1.5, None]},
        "/rows/0/energy~1j": 3,
        "/rows/1/metrics/accuracy~1top1/method": "exact",
        "/job/scenarios/0/warmup/cool~0down": {"s": 1},
        "/environment/cpu/cache": None,
        "/compiles/compile~1batch=8~1fp32/segments/1/why": "no kernel",
    }
    assert read.to_dict() == data
    assert read.metrics["accuracy/top1"].n == 360


def test_a_newer_minor_version_is_still_checked():
    data = newer()
    data["power"] = {"watts": [2.5]}
    with pytest.raises(ChecksumError):
        Report.from_dict(data)
    data["rows"][0]["batch_size"] = "eight"
    with pytest.raises(SpecError, match=r"rows\[0\]\.batch_size"):
        Report.from_dict(data, verify=False)


def test_extras_whose_place_is_gone_go_with_it():
    read = Report.from_dict(newer())
    fewer = attrs.evolve(read, rows=read.rows[:1], compiles={})
    data = fewer.to_dict()
    assert data["rows"][0]["energy/j"] == 3
    assert data["power"] == {"watts": [1.5, None]}
    assert "no kernel" not in json.dumps(data)


def test_what_an_older_version_lacks_gets_its_default():
    data = report().to_dict()
    for name in ("harness", "warnings"):
        del data[name]
    read = Report.from_dict(data, verify=False)
    assert read.warnings == ()
    assert dict(read.harness) == {}


@pytest.mark.parametrize("data", [None, [], "x", 3])
def test_what_is_no_object_is_no_report(data):
    with pytest.raises(SpecError, match="no report"):
        Report.from_dict(data)


def test_data_that_json_cannot_hold_is_refused():
    with pytest.raises(SpecError, match="JSON"):
        Report.from_dict(report().to_dict() | {"power": math.nan})


def test_parts_get_distinct_ids():
    assert new_part_id() != new_part_id()


def test_the_verdict_joins_what_was_measured():
    rows = [accuracy_row(), numeric_row(noise=1.0), performance_row()]
    assert judge(checks=MEASURED, rows=rows).outcome is Outcome.FAIL
