"""The commands compare and audit: what they print, write, and end with."""

import json
import xml.etree.ElementTree as ET

import attrs
import numpy as np
import pytest
from tests.report.audited_samples import result, row, written
from tests.report.compared_samples import MEAN_NS, gamma, saved, timed_row

from bytemlperf.cli import main
from bytemlperf.report import Audit, Comparison
from bytemlperf.spec import from_json


@pytest.fixture(autouse=True)
def _narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def report(folder, *, mean_ns=MEAN_NS, seed=0, queries=2000, **more):
    """Save a report of one run whose latencies are known."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    saved(folder, [timed_row(folder, gamma(rng, queries, mean_ns=mean_ns))], **more).save(folder, plots=False)
    return str(folder)


@pytest.fixture
def base(tmp_path):
    return report(tmp_path / "base")


def test_a_slower_report_ends_with_1(base, tmp_path, capsys):
    slow = report(tmp_path / "slow", mean_ns=1.2 * MEAN_NS, seed=1)
    assert main(["compare", base, slow]) == 1
    printed = capsys.readouterr().out
    assert "6 slower" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert main(["compare", slow, base]) == 0


def test_alike_reports_end_with_0_also_strictly(base, tmp_path):
    assert main(["compare", base, report(tmp_path / "again", seed=1), "--strict"]) == 0


def test_what_is_left_open_ends_with_3_if_strict(base, tmp_path):
    short = report(tmp_path / "short", seed=1, queries=100)
    assert main(["compare", base, short]) == 0
    assert main(["compare", base, short, "--strict"]) == 3


def test_margins_and_figures_are_passed_on(base, tmp_path, capsys):
    slow = report(tmp_path / "slow", mean_ns=1.2 * MEAN_NS, seed=1)
    arguments = [
        "compare",
        base,
        slow,
        "--figures",
        "latency/p50,latency/mean",
        "--equivalence",
        "30",
        "--level",
        "0.9",
    ]
    assert main([*arguments, "--accuracy-equivalence", "0.5", "--json"]) == 0
    comparison = Comparison.from_dict(json.loads(capsys.readouterr().out))
    assert (comparison.equivalence, comparison.level, comparison.accuracy_equivalence) == (0.3, 0.9, 0.5)
    assert [each.figure for each in comparison.figures] == ["latency/mean", "latency/p50"]
    assert (comparison.a.name, comparison.b.name) == (base, slow)


def test_files_for_ci_are_written(base, tmp_path):
    slow = report(tmp_path / "slow", mean_ns=1.2 * MEAN_NS, seed=1)
    junit, markdown = tmp_path / "ci" / "compare.xml", tmp_path / "ci" / "compare.md"
    assert main(["compare", base, slow, "--junit", str(junit), "--markdown", str(markdown)]) == 1
    assert ET.fromstring(junit.read_text()).get("failures") == "6"
    assert "6 slower" in markdown.read_text()


def test_a_file_that_cannot_be_written_is_a_bad_request(base, tmp_path):
    assert main(["compare", base, base, "--junit", str(tmp_path)]) == 2


def test_reports_of_different_things_are_a_bad_request_unless_allowed(base, tmp_path, capsys):
    other = report(tmp_path / "other", seed=1, dataset=None)
    assert main(["compare", base, other]) == 2
    assert "allow dataset" in " ".join(capsys.readouterr().err.split())
    assert main(["compare", base, other, "--allow", "dataset"]) == 0


@pytest.mark.parametrize(
    "extra", [["--allow", "weather"], ["--level", "1"], ["--equivalence", "-1"], ["--figures", "none"]]
)
def test_an_argument_that_cannot_be_is_a_bad_request(base, extra):
    assert main(["compare", base, base, *extra]) == 2


def test_a_report_that_is_not_there_is_a_bad_request(base, tmp_path):
    assert main(["compare", base, str(tmp_path / "none")]) == 2


def test_a_report_that_was_changed_is_a_bad_request_and_not_a_slowdown(base, tmp_path, capsys):
    path = tmp_path / "base" / "report.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "duration_s": 0.0}))
    assert main(["compare", base, base]) == 2
    assert "changed" in capsys.readouterr().err


def test_an_audit_without_an_error_ends_with_0_and_strictly_with_1(tmp_path, capsys):
    path = str(written(tmp_path, result()))
    assert main(["audit", path, "--queries", "500", "--strict"]) == 0
    assert main(["audit", path]) == 0
    assert "samples_unknown" in capsys.readouterr().out
    assert main(["audit", path, "--strict"]) == 1


def test_an_error_ends_an_audit_with_1(tmp_path, base, capsys):
    bad = written(tmp_path, result(Performance=[row(8, p99_ms=1.0)]))
    markdown = tmp_path / "audit.md"
    assert main(["audit", str(bad), base, "--json", "--markdown", str(markdown)]) == 1
    audit = from_json(Audit, json.loads(capsys.readouterr().out))
    assert audit.files == (str(bad), base)
    assert "percentile\\_order" in markdown.read_text()


@pytest.mark.parametrize("extra", [["none.json"], ["--queries", "0"]])
def test_an_audit_of_nothing_is_a_bad_request(tmp_path, extra):
    assert main(["audit", str(written(tmp_path, result())), *extra]) == 2


def test_names_of_files_are_no_markup(tmp_path, capsys):
    folder = tmp_path / "[bold]x"
    folder.mkdir()
    assert main(["audit", str(written(folder, result()))]) == 0
    assert "[bold]x" in capsys.readouterr().out.replace("\n", "")


def test_a_strange_name_is_shown_as_it_is(base, tmp_path, capsys):
    again = report(tmp_path / "[red]b", seed=1)
    assert main(["compare", base, again]) == 0
    assert "[red]b" in "".join(line.strip() for line in capsys.readouterr().out.splitlines())


def test_the_exit_code_is_that_of_the_comparison(base, tmp_path, capsys):
    main(["compare", base, base, "--json"])
    comparison = Comparison.from_dict(json.loads(capsys.readouterr().out))
    assert attrs.evolve(comparison, figures=()).exit_code(strict=True) == 0
