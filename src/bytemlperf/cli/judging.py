"""The commands on reports that are there: compare, audit and export."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bytemlperf.errors import ChecksumError, HarnessError, SpecError
from bytemlperf.report import Audit, Comparison, Report, audit, compare
from bytemlperf.report.files import write_bytes


def run_compare(arguments: argparse.Namespace) -> int:
    """Compare two saved reports; show, write and tell by the exit code what came out."""
    a, b = arguments.a, arguments.b
    result = compare(
        _load(a),
        _load(b),
        equivalence=arguments.equivalence / 100,
        level=arguments.level,
        accuracy_equivalence=arguments.accuracy_equivalence,
        figures=arguments.figures,
        allow=arguments.allow,
        names=(str(a), str(b)),
    )
    _show(result, as_json=arguments.json)
    _write(arguments.markdown, result.to_markdown)
    _write(arguments.junit, lambda: result.to_junit(strict=arguments.strict))
    return result.exit_code(strict=arguments.strict)


def run_audit(arguments: argparse.Namespace) -> int:
    """Audit files; show, write and tell by the exit code what was found."""
    result = audit(*arguments.files, queries=arguments.queries)
    _show(result, as_json=arguments.json)
    _write(arguments.markdown, result.to_markdown)
    return result.exit_code(strict=arguments.strict)


def run_export(arguments: argparse.Namespace) -> int:
    """Write a saved report as MLPerf's logs; print where they lie."""
    for path in _load(arguments.report).to_mlperf(arguments.folder, trace=arguments.trace):
        sys.stdout.write(f"{path.parent}\n")
    return 0


def _load(path: Path) -> Report:
    """Read a report; one that was changed is a bad request, since 1 means that something is worse."""
    try:
        return Report.load(path)
    except ChecksumError as error:
        raise SpecError(str(error), where=str(path)) from error


def _show(result: Comparison | Audit, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result.to_dict(), indent=2) + "\n")
    else:
        Console().print(result)


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        write_bytes(path, text().encode())
    except HarnessError as error:
        raise SpecError(str(error), where=str(path)) from error
