import sqlite3
import typing

import attrs
from tests.report.report_samples import accuracy_row, performance_row, report

from bytemlperf.report import TableRow


def test_every_line_has_every_column_and_its_type():
    kinds = typing.get_type_hints(TableRow)
    for line in report().table():
        assert set(line) == set(kinds)
        for name, kind in kinds.items():
            allowed = typing.get_args(kind) or (kind,)
            assert type(line[name]) in allowed, (name, line[name])


def test_there_is_a_line_for_each_figure_and_none_twice():
    whole = report()
    lines = whole.table()
    assert len(lines) == sum(len(row.metrics) for row in whole.rows)
    assert len({(line["job_key"], line["row_key"], line["metric"]) for line in lines}) == len(lines)


def test_a_line_tells_its_figure():
    line = next(line for line in report().table() if line["metric"] == "accuracy/top1")
    assert (line["value"], line["low"], line["high"], line["n"]) == (353 / 360, 0.9604, 0.9921, 360)
    assert (line["kind"], line["task"], line["backend"]) == ("accuracy", "digits-resnet-onnx-fp32", "onnxruntime")
    assert (line["precision"], line["provenance"], line["dataset"]) == ("float32", "pretrained", "digits")
    assert line["job_key"] == report().job.key


def test_a_row_without_figures_is_not_lost():
    (line,) = report(rows=[attrs.evolve(accuracy_row(), metrics={})]).table()
    assert (line["metric"], line["value"], line["level"], line["passed"]) == ("", None, None, True)


def test_what_could_not_be_had_is_none():
    line = report(rows=[performance_row()], artifact=None, dataset=None, backend=None).table()[0]
    assert line["artifact_sha256"] is line["dataset"] is line["backend_version"] is line["provenance"] is None


def test_a_database_takes_it():
    lines = report().table()
    base = sqlite3.connect(":memory:")
    base.execute(f"create table figures ({', '.join(lines[0])}, unique (job_key, row_key, metric))")
    slots = ", ".join(f":{name}" for name in lines[0])
    base.executemany(f"insert into figures values ({slots})", lines)
    (count,) = base.execute("select count(*) from figures where kind = 'performance'").fetchone()
    assert count == sum(line["kind"] == "performance" for line in lines)
    base.close()
