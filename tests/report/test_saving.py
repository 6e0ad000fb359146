import json
import shutil
from pathlib import Path

import attrs
import pytest
from tests.report.report_samples import (
    compile_row,
    differences,
    failed_report,
    numeric_row,
    performance_row,
    report,
    trace,
)

from bytemlperf.errors import ChecksumError, HarnessError, SpecError
from bytemlperf.report import Report
from bytemlperf.report.files import differences_path, sha256_of, trace_path, write_differences, write_trace


def with_raw_files(folder):
    """Make a report whose raw files lie in a folder."""
    rows = []
    for row in (performance_row(batch_size=1), performance_row(batch_size=8)):
        path = trace_path(row.key)
        write_trace(folder / path, trace(batch_size=row.batch_size))
        rows.append(attrs.evolve(row, files=[path], sha256={path: sha256_of(folder / path)}))
    path = differences_path(numeric_row().key)
    write_differences(folder / path, differences().outputs)
    rows.append(attrs.evolve(numeric_row(), files=[path], sha256={path: sha256_of(folder / path)}))
    return report(rows=[compile_row(), *rows], folder=folder)


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_report_comes_back_from_its_folder_and_its_file(tmp_path):
    for each in (report(), failed_report()):
        path = each.save(tmp_path)
        assert path == tmp_path / "report.json"
        assert Report.load(tmp_path) == Report.load(str(path)) == each
        assert Report.load(path).folder == tmp_path


def test_everything_is_written_beside_it(tmp_path):
    with_raw_files(tmp_path / "run").save(tmp_path / "run")
    assert names(tmp_path / "run") == [
        "differences/numeric-batch=8-fp32.json",
        "plots/numeric-batch=8-fp32-difference.png",
        "plots/numeric-batch=8-fp32-difference_2.png",
        "plots/numeric-batch=8-fp32-error.png",
        "plots/performance-fixed_batch-clients=1-batch=1-fp32-devices=1-latency.png",
        "plots/performance-fixed_batch-clients=1-batch=8-fp32-devices=1-latency.png",
        "plots/performance-throughput.png",
        "report.json",
        "report.md",
        "traces/performance-fixed_batch-clients=1-batch=1-fp32-devices=1.npz",
        "traces/performance-fixed_batch-clients=1-batch=8-fp32-devices=1.npz",
    ]


def test_raw_files_go_with_the_report(tmp_path):
    made = with_raw_files(tmp_path / "run")
    made.save(tmp_path / "copy", plots=False)
    shutil.rmtree(tmp_path / "run")
    copy = Report.load(tmp_path / "copy")
    assert copy == made
    assert copy.changed_files() == ()
    assert "plots" not in {name.split("/")[0] for name in names(tmp_path / "copy")}


def test_a_changed_or_missing_raw_file_is_found(tmp_path):
    made = with_raw_files(tmp_path)
    first, second, third = (row.files[0] for row in made.rows if row.files)
    (tmp_path / first).write_bytes(b"other")
    (tmp_path / third).unlink()
    assert made.changed_files() == (first, third)
    assert attrs.evolve(made, folder=None).changed_files() == (first, second, third)


def test_what_is_not_wanted_is_not_written(tmp_path):
    report().save(tmp_path, markdown=False, plots=False)
    assert names(tmp_path) == ["report.json"]


def test_without_data_nothing_is_drawn(tmp_path):
    failed_report().save(tmp_path)
    assert names(tmp_path) == ["report.json", "report.md"]


def test_a_damaged_raw_file_costs_its_drawing_and_no_more(tmp_path, caplog):
    made = with_raw_files(tmp_path)
    for row in made.rows:
        for file in row.files:
            (tmp_path / file).write_bytes(b"damaged")
    made.save(tmp_path)
    assert names(tmp_path / "plots") == ["performance-throughput.png"]
    assert caplog.text.count("no drawing of") == 3


def test_the_report_is_written_last(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(HarnessError, match=r"report\.md"):
        report().save(tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_a_report_tells_no_folder(tmp_path):
    path = with_raw_files(tmp_path).save(tmp_path)
    assert str(tmp_path) not in path.read_text()
    assert str(tmp_path) not in (tmp_path / "report.md").read_text()


def test_a_damaged_report_is_refused(tmp_path):
    path = report().save(tmp_path, plots=False)
    path.write_text(path.read_text().replace('"pass"', '"fail"'))
    with pytest.raises(ChecksumError, match="changed"):
        Report.load(path)
    assert Report.load(path, verify=False).verdict.outcome == "fail"
    path.write_text("[]")
    with pytest.raises(SpecError, match=r"report\.json"):
        Report.load(path)
    with pytest.raises(SpecError, match="FileNotFoundError"):
        Report.load(tmp_path / "nowhere.json")


GOLDEN = sorted((Path(__file__).parent / "golden").glob("*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_old_reports_stay_readable(path):
    old = Report.load(path)
    assert old.metrics["accuracy/top1"].value == 0.75
    assert old.job.task == "tiny-onnx-fp32"
    assert old.rows[1].bytemlperf["QPS"] == 1000
    assert old.rows[1].scenario == "fixed_batch/clients=2"
    assert old.verdict.outcome == "undecided"
    assert old.failures[0].code == "time_limit"
    assert old.environment.cpu.model == "Some CPU"
    assert old.table()
    assert "tiny-onnx-fp32" in str(old)
    assert old.to_bytemlperf()["Model"] == "TINY-ONNX-FP32"
    assert Report.from_dict(json.loads(json.dumps(old.to_dict()))) == old


def test_there_are_old_reports():
    assert [path.stem for path in GOLDEN] == ["report-1.0"]
