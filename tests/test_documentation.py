"""What the documentation says is so: its code, its tables, its links into the package."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import bytemlperf
from bytemlperf import zoo
from bytemlperf.cli.arguments import parser
from bytemlperf.errors import FailureCode, error_types
from bytemlperf.metrics import TOLERANCE
from bytemlperf.registry import backends, datasets, models
from bytemlperf.report.schema import load
from bytemlperf.zoo.substructures import ROWS as PARTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
EXAMPLES = ROOT / "examples"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SNIPPET = re.compile(r'^--8<-- "([^":]+)', re.MULTILINE)


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def cells(page: str, *, first: str) -> dict[str, list[str]]:
    """Return the rows of the table whose first column is headed `first`, by their first cell, backticks taken off."""
    table = text_of(DOCS / page).partition(f"| {first} |")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
    return {row[0].strip("`"): row[1:] for row in rows}


def rooms_with_a_page() -> set[str]:
    pages = (text_of(page) for page in (DOCS / "reference").glob("*.md"))
    return {name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_compiles_and_imports_what_there_is(page):
    for block in PYTHON_BLOCK.findall(text_of(page)):
        code = SNIPPET.sub("pass  # ", block)
        compile(code, page.name, "exec")
        for line in re.findall(r"^from bytemlperf\S* import .*$", code, re.MULTILINE):
            exec(line, {})


def test_every_example_is_shown():
    shown = {Path(found).name for page in PAGES for found in SNIPPET.findall(text_of(page))}

    assert {path.name for path in EXAMPLES.glob("*.py")} <= shown


def test_the_page_of_figures_has_a_row_for_each_model_of_the_catalog():
    lines = re.findall(r"^\| `(\S+)` \| (.*) \|$", text_of(DOCS / "reference" / "zoo-figures.md"), re.MULTILINE)
    figures = {task: [cell.strip() for cell in cells.split("|")] for task, cells in lines}

    assert sorted(task for task, _ in lines) == sorted(zoo.names())
    for task, (parameters, *measured) in figures.items():
        assert int(parameters.replace(",", "")) == zoo.get(task).parameters
        assert len(measured) == 4
        assert all(float(each.replace(",", "").removesuffix(r"\*")) > 0 for each in measured), task


def test_the_readme_shows_the_first_example():
    code = text_of(EXAMPLES / "01_three_lines.py").partition('"""\n\n')[2]

    assert code.strip() in text_of(ROOT / "README.md")


def test_the_backend_that_is_called_complete_has_under_40_lines_and_is_run():
    assert '--8<-- "examples/mychip.py"' in text_of(DOCS / "howto" / "backend.md")
    assert len(text_of(EXAMPLES / "mychip.py").splitlines()) < 40
    assert "mychip:MyChip" in text_of(EXAMPLES / "03_write_a_backend.py")


@pytest.mark.parametrize("name", bytemlperf.__all__)
def test_public_name_has_a_docstring_and_a_page(name):
    found = getattr(bytemlperf, name)
    home = bytemlperf._EXPORTS[name] or name
    room = import_module(f"bytemlperf.{home}")

    assert isinstance(found, str) or (found.__doc__ or "").strip()
    assert f"bytemlperf.{home}" in rooms_with_a_page()
    assert hasattr(room, name) or found is room


def test_every_failure_code_is_listed_with_its_error_blame_and_retryability():
    expected = {
        code.value: [f"`{kind.__name__}`", kind.blame.value, "yes" if kind.retryable else "no"]
        for code, kind in error_types().items()
    }

    assert {code: row[:3] for code, row in cells("reference/failures.md", first="code").items()} == expected
    assert set(expected) == set(FailureCode)


def test_every_bound_of_numerics_is_listed():
    listed = cells("explanation/figures.md", first="precision")

    for precision, tolerance in TOLERANCE.items():
        value = tolerance.value
        assert float(eval(listed[precision.value][0].replace("^", "**"))) == pytest.approx(value, rel=1e-2)


def test_every_option_of_run_is_listed():
    page = text_of(DOCS / "reference" / "cli.md")
    run = parser()._subparsers._group_actions[0].choices["run"]
    options = {option for action in run._actions for option in action.option_strings if option.startswith("--")}

    assert {option for option in options - {"--help"} if f"`{option}" not in page} == set()


def test_every_member_of_the_reports_json_is_listed():
    page = text_of(DOCS / "reference" / "report-files.md")
    listed = {name for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}

    assert set(load()["properties"]) <= listed
    assert f"report-{load()['$id'].rpartition(':')[2]}.json" in page


@pytest.mark.parametrize("registry", [backends, datasets, models], ids=lambda registry: registry.kind)
def test_the_readme_names_what_ships_with_the_package(registry):
    readme = text_of(ROOT / "README.md")
    ours = {plugin.name for plugin in registry.plugins() if plugin.distribution.startswith("bytemlperf ")}
    named = readme.replace("{torch,onnx,tf}", "torch digits-resnet-onnx-fp32 digits-resnet-tf")

    # The many parts of models are named by kind, and one by one on a page of their own.
    assert {name for name in ours if name not in named and name not in PARTS} == set()


def test_the_shown_refusal_is_what_is_printed():
    start = "import sys; from bytemlperf.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", start, "run", "digits-resnet-onnx-fp32", "--backend", "onnxrutime"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (2, text_of(DOCS / "outputs" / "unknown.txt"))


def test_the_shown_report_of_bytemlperf_has_the_keys_that_are_made():
    shown = text_of(DOCS / "outputs" / "bytemlperf.txt")
    report = json.loads(shown[shown.index("\n{") :])

    assert {"Model", "Backend", "Graph Compile", "Accuracy", "Performance"} <= set(report)
