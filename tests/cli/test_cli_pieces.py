"""Pieces of the command by themselves: values of options, errors in columns, the progress bar."""

from __future__ import annotations

import datetime as dt
import io

import pytest
from rich.console import Console

from bytemlperf.cli.arguments import plain_value
from bytemlperf.cli.progress import Bar
from bytemlperf.cli.showing import fields_of, print_error
from bytemlperf.errors import BenchmarkError, SpecError
from bytemlperf.evaluation import Event, EventKind


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4", 4),
        ("-4", -4),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("fast", "fast"),
        ("", ""),
        ('"4"', "4"),
        ("[1, 2.5, true]", (1, 2.5, True)),
        ("[]", ()),
        ("[[1]]", "[[1]]"),
        ('{"a": 1}', '{"a": 1}'),
        ("NaN", "NaN"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("Infinity", "Infinity"),
        ("1e999", "1e999"),
        ("/data/[x", "/data/[x"),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_an_options_value_is_json_where_it_is_some_and_text_else(text, value):
    found = plain_value(text)
    assert (type(found), found) == (type(value), value)


def _console(**fields):
    return Console(file=io.StringIO(), width=80, color_system=None, **fields)


def _printed(console):
    return console.file.getvalue()


def test_an_error_is_told_in_lines_that_fit():
    console = _console()
    error = SpecError("unknown [dtype]", where="$.inputs[0]", got=["fp23"] * 20, expected="x " * 100, remedy="do it")
    print_error(console, "bad request", error)
    lines = _printed(console).splitlines()
    assert lines[0] == "bad request: unknown [dtype]"
    assert lines[1].split() == ["at", "$.inputs[0]"]
    assert lines[-1].split() == ["remedy", "do", "it"]
    assert max(map(len, lines)) <= 80


def test_an_error_without_facts_is_one_line():
    console = _console()
    print_error(console, "crash", BenchmarkError("it is over"))
    assert _printed(console) == "crash: it is over\n"


def test_fields_are_shown_without_those_that_are_empty():
    shown = fields_of({
        "name": "x", "none": None, "empty": [], "flag": False, "count": 123456, "small": 9999, "sizes": [1, 2],
        "tensors": [{"name": "a", "shape": ["batch", 3], "high": None}, {"name": "b"}], "markup": "[bold]x[/]",
    }, width=80)  # fmt: skip
    found = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.plain.splitlines()}
    assert found == {
        "name": "x", "flag": "false", "count": "123,456", "small": "9999", "sizes": "1, 2",
        "tensors": "a: shape [batch, 3]", "b": "", "markup": "[bold]x[/]",
    }  # fmt: skip


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_bar_stays_on_one_line(width):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, legacy_windows=False)
    step = "performance/fixed_batch/clients=16/batch=64/float16/devices=8"
    with Bar(console) as bar:
        for kind, done in (
            (EventKind.STEP_STARTED, None),
            (EventKind.STEP_PROGRESS, 7),
            (EventKind.ROW_FINISHED, None),
        ):
            bar(_event(kind, step, done))
        bar._progress.refresh()
        shown = bar._progress.get_renderable()
        lines = console.render_lines(shown, console.options)
    assert len(lines) == 1
    text = "".join(segment.text for segment in lines[0])
    assert len(text) == width
    if width >= 80:
        assert "7/100" in text
        assert "performance/fixed_batch" in text


def _event(kind, step, done):
    now = dt.datetime.now(dt.UTC).isoformat()
    return Event(seq=1, time_utc=now, job="key", kind=kind, step=step, done=done, total=None if done is None else 100)
