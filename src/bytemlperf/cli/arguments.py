"""What the command line understands."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from bytemlperf.report.comparison import REFUSED
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.workload import Check

KINDS = ("models", "backends", "datasets", "metrics")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command."""
    made = argparse.ArgumentParser(
        prog="bytemlperf",
        description="Evaluate AI accelerators on production models.",
        epilog="Exit codes: 0 nothing failed; 1 the report holds a failure; 2 bad request; 130 interrupted.",
    )
    made.add_argument("--version", action="version", version=f"bytemlperf {version('bytemlperf')}")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="evaluate a model on a backend"))
    _add_list(commands.add_parser("list", help="list models, backends, data sets or metrics"))
    _add_show(commands.add_parser("show", help="show a model, a backend or a saved report"))
    _add_compare(commands.add_parser("compare", help="decide figure by figure whether one report is faster or slower"))
    _add_audit(commands.add_parser("audit", help="look in reports for what cannot be true or believed"))
    return made


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("task", help="task name, or the .json file of a job or of a ByteMLPerf workload")
    run.add_argument("--backend", help="registered name or package.module:Class (default: cpu)")
    run.add_argument("--precision", help="asked of the compiler, such as fp16")
    run.add_argument("--weights", help="pinned, random or a path (default: pinned)")
    run.add_argument("--dataset", help="registered name (default: the model's own)")
    run.add_argument("--dataset-option", type=_pair, action="append", default=[], metavar="NAME=VALUE")
    run.add_argument("--samples", type=int, help="only that many samples of the data set")
    run.add_argument("--checks", type=_words, metavar="LIST", help=f"of {','.join(Check)} (default: all)")
    run.add_argument("--batch-sizes", type=_numbers, metavar="LIST", help="such as 1,8,32 (default: the model's own)")
    run.add_argument("--clients", type=_numbers, metavar="LIST", help="client threads, a row each (default: 1)")
    run.add_argument("--iterations", type=int, help="timed queries of each client (default: 100)")
    run.add_argument("--repeats", type=int, help="independent processes for each performance row")
    run.add_argument("--device", action="append", dest="devices", help="in the framework's own words, such as cuda:0")
    run.add_argument("--option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="of the backend")
    run.add_argument("--seed", type=int)
    run.add_argument("--worker", metavar="COMMAND", help="interpreter for the backend, such as old-env/bin/python")
    run.add_argument("--query-limit", type=float, metavar="SECONDS", help="for one answer")
    run.add_argument("--compile-limit", type=float, metavar="SECONDS", help="for one compile")
    run.add_argument("--total-limit", type=float, metavar="SECONDS", help="for the whole job")
    run.add_argument("--memory-limit", type=float, metavar="GB", help="resident memory of the worker")
    run.add_argument("--out", type=Path, help="folder for report, raw stamps, plots and events")
    run.add_argument("--resume", action="store_true", help="keep rows that are in --out already")
    run.add_argument("--json", action="store_true", help="print the report as JSON")
    run.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_list(listed: argparse.ArgumentParser) -> None:
    listed.add_argument("kind", choices=KINDS)
    listed.add_argument("--json", action="store_true", help="print JSON")


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument("what", help="a task's name, a backend's name, or a report's folder or .json file")
    show.add_argument("--json", action="store_true", help="print JSON")


def _add_compare(compare: argparse.ArgumentParser) -> None:
    compare.description = "Compare report B, the candidate, with report A, the base."
    compare.epilog = (
        "Exit codes: 0 no figure of B is slower or worse; 1 one is; 2 bad request, or reports of different things; "
        "3 with --strict, something is undecided or a row is lost."
    )
    compare.add_argument("a", type=Path, metavar="A", help="the base: a report's folder or .json file")
    compare.add_argument("b", type=Path, metavar="B", help="the candidate: a report's folder or .json file")
    compare.add_argument(
        "--equivalence", type=float, default=5.0, metavar="PERCENT", help="changes within it count as none (default: 5)"
    )
    compare.add_argument(
        "--accuracy-equivalence", type=float, default=0.01, metavar="SCORE", help="the same of a score (default: 0.01)"
    )
    compare.add_argument("--level", type=float, default=0.95, help="confidence of all decisions (default: 0.95)")
    compare.add_argument("--figures", type=_words, metavar="LIST", help="patterns such as latency/p99,throughput/*")
    compare.add_argument(
        "--allow", type=_words, default=(), metavar="LIST", help=f"of {','.join(sorted(REFUSED))}: may differ"
    )
    compare.add_argument("--strict", action="store_true", help="exit code 3 if something is left open")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.add_argument("--markdown", type=Path, metavar="FILE", help="also write Markdown")
    compare.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit's XML")


def _add_audit(audit: argparse.ArgumentParser) -> None:
    audit.description = "Audit reports of this package and result files of ByteMLPerf."
    audit.epilog = "Exit codes: 0 no error found; 1 one is (with --strict, or a warning); 2 bad request."
    audit.add_argument("files", nargs="+", metavar="FILE", help="a report's folder or .json file, or a result file")
    audit.add_argument("--queries", type=int, help="timed queries behind each row of a ByteMLPerf file")
    audit.add_argument("--strict", action="store_true", help="warnings count too")
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.add_argument("--markdown", type=Path, metavar="FILE", help="also write Markdown")


def _words(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_whole(part) for part in _words(text))


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _pair(text: str) -> tuple[str, ConfigValue]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, plain_value(value)


def plain_value(text: str) -> ConfigValue:
    """Read a value as JSON would, or else take it as text.

    Example:
        >>> plain_value("4"), plain_value("true"), plain_value("1.5"), plain_value("fast")
        (4, True, 1.5, 'fast')
    """
    if text in {"true", "false"}:
        return text == "true"
    readers: tuple[Callable[[str], int | float], ...] = (int, float)
    for read in readers:
        try:
            return read(text)
        except ValueError:
            continue
    return text
