"""What the command line understands."""

from __future__ import annotations

import argparse
import json
import math
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from bytemlperf.cli.caching import ACTIONS
from bytemlperf.cli.caching import KINDS as CACHE_KINDS
from bytemlperf.report.comparison import REFUSED
from bytemlperf.spec import Domain, Framework, Purpose
from bytemlperf.spec.recipe import ConfigValue
from bytemlperf.workload import MEASURED, Asked, Integrity

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
    _add_run(_command(commands, "run", "TASK", "evaluate a model on a backend"))
    _add_list(_command(commands, "list", "KIND", "list models, backends, datasets or metrics"))
    _add_show(_command(commands, "show", "WHAT", "show a model, a backend or a saved report"))
    _add_plan(_command(commands, "plan", "TASK", "say what a run would give: rows, minutes, disk, claims"))
    _add_interleave(
        _command(commands, "interleave", "TASK --a NAME --b NAME", "decide which of two backends is faster")
    )
    _add_find_limit(_command(commands, "find-limit", "TASK --bound MS", "find the highest rate that keeps a bound"))
    _add_compare(_command(commands, "compare", "A B", "decide, figure by figure, whether report B is slower than A"))
    _add_export(_command(commands, "export", "REPORT FOLDER", "write a report in the form of other tools"))
    _add_audit(_command(commands, "audit", "FILE...", "look in reports for what cannot be true or believed"))
    _add_cache(_command(commands, "cache", "ACTION", "list, clear or verify what was fetched and made, or tell where"))
    return made


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, takes: str, text: str
) -> argparse.ArgumentParser:
    """Add a command whose usage fits on a line: its options are listed below anyway."""
    return commands.add_parser(
        name, help=text, description=f"{text[:1].upper()}{text[1:]}.", usage=f"bytemlperf {name} [options] {takes}"
    )


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("task", metavar="TASK", help="task name, or the .json file of a job or of a ByteMLPerf workload")
    _add_subject(run.add_argument_group("what is evaluated"))
    _add_measuring(run.add_argument_group("what is measured"))
    _add_limits(run.add_argument_group("limits"))
    _add_output(run.add_argument_group("output"))


def _add_subject(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--backend", metavar="NAME", help="registered name or package.module:Class (default: cpu)")
    group.add_argument("--option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="of the backend")
    group.add_argument("--precision", metavar="TYPE", help="asked of the compiler, such as fp16")
    group.add_argument(
        "--device", action="append", dest="devices", metavar="ID", help="in the framework's own words, such as cuda:0"
    )
    group.add_argument("--weights", metavar="W", help="pinned, random, a path or a URL (default: pinned)")
    group.add_argument("--dataset", metavar="NAME", help="registered name (default: the model's own)")
    group.add_argument(
        "--dataset-option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="of the dataset"
    )
    group.add_argument("--samples", type=_whole, metavar="N", help="only that many samples of the dataset")
    group.add_argument("--seed", type=_whole, metavar="N", help="of random weights, synthetic data and sample order")
    group.add_argument("--worker", type=_command_line, metavar="COMMAND", help="interpreter for the backend")


def _add_measuring(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--checks", type=_words, metavar="LIST", help=f"of {', '.join(MEASURED)} (default: these)")
    group.add_argument("--batch-sizes", type=_numbers, metavar="LIST", help="such as 1,8,32 (default: the model's own)")
    group.add_argument("--clients", type=_numbers, metavar="LIST", help="client threads, a row each (default: 1)")
    group.add_argument("--iterations", type=_whole, metavar="N", help="timed queries of each client (default: 100)")
    group.add_argument(
        "--prompts",
        metavar="FIELDS",
        help="ask a language model for tokens: input=128,output=16-32[,samples=64][,file=lengths.csv][,stop=2+13]"
        "[,sampling.temperature=0.8][,sampling.top_k=40][,sampling.top_p=0.9]",
    )
    group.add_argument(
        "--asks", metavar="WHAT", help=f"of {', '.join(Asked)} (default: generate with --prompts, else forward)"
    )
    group.add_argument(
        "--bounds", metavar="FIELDS", help="count good answers (goodput): ttft_ms=200,tpot_ms=50,latency_ms=5000"
    )
    group.add_argument(
        "--scenario",
        action="append",
        dest="scenarios",
        metavar="KIND:FIELDS",
        help="a load pattern, such as server:target_qps=40,bound_ms=15; may be repeated",
    )
    group.add_argument("--mlperf-seeds", action="store_true", help="arrivals and sample order of an MLPerf submission")
    group.add_argument("--repeats", type=_whole, metavar="N", help="independent processes for each performance row")
    group.add_argument(
        "--integrity", type=_tests, metavar="LIST", help=f"tests of honesty: all, or of {', '.join(Integrity)}"
    )
    group.add_argument("--numeric-samples", type=_whole, metavar="N", help="compared with the reference (default: 32)")
    group.add_argument(
        "--accuracy-target",
        type=_pair,
        action="append",
        default=[],
        metavar="METRIC=SHARE",
        help="share of the reference's accuracy that must be held, such as top1=0.999 (default: the model's, or 0.99)",
    )


def _add_limits(group: argparse._ArgumentGroup) -> None:
    for name, text in (("query", "one answer"), ("compile", "one compile"), ("step", "any other step")):
        group.add_argument(f"--{name}-limit", type=_positive, metavar="SECONDS", help=f"for {text}")
    group.add_argument("--total-limit", type=_positive, metavar="SECONDS", help="for the whole job")
    group.add_argument("--memory-limit", type=_positive, metavar="GB", help="resident memory of the worker")
    group.add_argument("--disk-limit", type=_positive, metavar="GB", help="files of the job")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--out", type=Path, metavar="FOLDER", help="for report, raw stamps, plots and events")
    group.add_argument("--resume", action="store_true", help="keep rows that are in --out already")
    group.add_argument("--json", action="store_true", help="print the report as JSON")
    group.add_argument("--quiet", action="store_true", help="draw no progress bar")


def _add_plan(plan: argparse.ArgumentParser) -> None:
    plan.add_argument("task", metavar="TASK", help="task name, or the .json file of a job or of a ByteMLPerf workload")
    _add_subject(plan.add_argument_group("what would be evaluated"))
    _add_measuring(plan.add_argument_group("what would be measured"))
    group = plan.add_argument_group("what is asked")
    group.add_argument("--pilot", action="store_true", help="run the job once with few queries, and plan from that")
    group.add_argument("--expected-latency", type=_positive, metavar="MS", help="of a query, where there is no pilot")
    group.add_argument("--minutes", type=_positive, metavar="M", help="what could each timed row claim then?")
    group.add_argument("--width", type=_positive, default=5.0, metavar="PERCENT", help="of an interval (default: 5)")
    group.add_argument(
        "--difference", type=_positive, default=5.0, metavar="PERCENT", help="to be told apart (default: 5)"
    )
    group.add_argument("--level", type=float, default=0.95, metavar="P", help="confidence (default: 0.95)")
    group.add_argument("--json", action="store_true", help="print the plan as JSON")


def _add_studied(study: argparse.ArgumentParser) -> None:
    """Add what every study takes of its subject."""
    study.add_argument("task", metavar="TASK", help="task name")
    group = study.add_argument_group("what is measured")
    group.add_argument("--precision", metavar="TYPE", help="asked of the compiler, such as fp16")
    group.add_argument("--device", action="append", dest="devices", metavar="ID", help="in the framework's own words")
    group.add_argument("--weights", metavar="W", help="pinned, random or a path (default: pinned)")
    group.add_argument("--dataset", metavar="NAME", help="registered name (default: the model's own)")
    group.add_argument("--batch-size", type=_whole, default=1, metavar="N", help="samples in a query (default: 1)")
    group.add_argument("--seed", type=_whole, metavar="N", help="of weights, data, order and arrivals")
    group.add_argument("--worker", type=_command_line, metavar="COMMAND", help="interpreter for the backend")
    group.add_argument("--level", type=float, default=0.95, metavar="P", help="confidence (default: 0.95)")
    group.add_argument("--json", action="store_true", help="print JSON")


def _add_interleave(study: argparse.ArgumentParser) -> None:
    study.epilog = "Exit codes: 0 b is not slower and gives the same outputs; 1 it is, or does not; 2 bad request."
    _add_studied(study)
    group = study.add_argument_group("the two sides")
    for side, text in (("a", "base"), ("b", "candidate")):
        group.add_argument(f"--{side}", required=True, metavar="NAME", help=f"the {text}: a backend")
        group.add_argument(
            f"--{side}-option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help=f"of {side}"
        )
    group.add_argument("--minutes", type=_positive, default=1.0, metavar="M", help="of measuring (default: 1)")
    group.add_argument("--repeats", type=_whole, default=1, metavar="N", help="pairs of fresh processes (default: 1)")
    group.add_argument("--figure", choices=("mean", "p50", "p90"), default="mean", help="of latency (default: mean)")
    group.add_argument(
        "--equivalence", type=float, default=2.0, metavar="PERCENT", help="a difference that is none (default: 2)"
    )
    group.add_argument("--markdown", type=Path, metavar="FILE", help="also write Markdown")


def _add_find_limit(study: argparse.ArgumentParser) -> None:
    study.epilog = "Exit codes: 0 a rate is shown to keep the bound; 1 none is; 2 bad request."
    _add_studied(study)
    group = study.add_argument_group("the limit")
    group.add_argument("--backend", metavar="NAME", help="registered name or package.module:Class (default: cpu)")
    group.add_argument("--option", type=_pair, action="append", default=[], metavar="NAME=VALUE", help="of the backend")
    group.add_argument("--bound", type=_positive, required=True, metavar="MS", help="of the percentile of latency")
    group.add_argument("--percentile", type=_positive, default=99.0, metavar="P", help="of latency (default: 99)")
    group.add_argument("--minutes", type=_positive, default=10.0, metavar="M", help="of offering load (default: 10)")
    group.add_argument(
        "--tolerance", type=_positive, default=10.0, metavar="PERCENT", help="width that is enough (default: 10)"
    )
    group.add_argument("--out", type=Path, metavar="FOLDER", help="for limit.json, limit.md and the curve")


def _add_list(listed: argparse.ArgumentParser) -> None:
    listed.add_argument("kind", choices=KINDS, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    group = listed.add_argument_group("of models, only those")
    group.add_argument("--domain", metavar="NAME", help=f"of {', '.join(Domain)}")
    group.add_argument("--purpose", metavar="NAME", help=f"of {', '.join(Purpose)}")
    group.add_argument("--framework", metavar="NAME", help=f"of {', '.join(Framework)}")
    group.add_argument("--cached", action="store_true", help="whose weights are on this machine")
    listed.add_argument("--json", action="store_true", help="print JSON")


def _add_show(show: argparse.ArgumentParser) -> None:
    show.add_argument(
        "what",
        metavar="WHAT",
        help="a task's name, a backend's (or package.module:Class), or a report's folder or file",
    )
    show.add_argument("--json", action="store_true", help="print JSON")


def _add_compare(compare: argparse.ArgumentParser) -> None:
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
    compare.add_argument("--level", type=float, default=0.95, metavar="P", help="confidence of all (default: 0.95)")
    compare.add_argument("--figures", type=_words, metavar="LIST", help="patterns such as latency/p99,throughput/*")
    compare.add_argument(
        "--allow", type=_words, default=(), metavar="LIST", help=f"may differ: {', '.join(sorted(REFUSED))}"
    )
    compare.add_argument("--strict", action="store_true", help="exit code 3 if something is left open")
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.add_argument("--markdown", type=Path, metavar="FILE", help="also write Markdown")
    compare.add_argument("--junit", type=Path, metavar="FILE", help="also write JUnit's XML")


def _add_export(export: argparse.ArgumentParser) -> None:
    export.add_argument("report", type=Path, metavar="REPORT", help="a report's folder, with its raw stamps")
    export.add_argument("folder", type=Path, metavar="FOLDER", help="for what is written")
    export.add_argument(
        "--mlperf",
        action="store_true",
        required=True,
        help="the logs that MLPerf LoadGen writes, of rows of its scenarios",
    )
    export.add_argument("--trace", action="store_true", help="LoadGen's trace too, about 300 bytes a sample")


def _add_audit(audit: argparse.ArgumentParser) -> None:
    audit.epilog = "Exit codes: 0 no error found; 1 one is (with --strict, or a warning); 2 bad request."
    audit.add_argument("files", nargs="+", metavar="FILE", help="a report's folder or .json file, or a result file")
    audit.add_argument("--queries", type=_whole, metavar="N", help="timed queries behind each row of a ByteMLPerf file")
    audit.add_argument("--strict", action="store_true", help="warnings count too")
    audit.add_argument("--json", action="store_true", help="print JSON")
    audit.add_argument("--markdown", type=Path, metavar="FILE", help="also write Markdown")


def _add_cache(cache: argparse.ArgumentParser) -> None:
    cache.epilog = "Exit codes: 0 done; 1 verify found damage; 2 bad request."
    cache.add_argument("action", choices=ACTIONS, metavar="ACTION", help=f"one of {', '.join(ACTIONS)}")
    group = cache.add_argument_group("of list and clear, only those")
    group.add_argument(
        "--kind",
        action="append",
        dest="kinds",
        choices=CACHE_KINDS,
        metavar="KIND",
        help=f"of {', '.join(CACHE_KINDS)}",
    )
    group.add_argument("--model", metavar="TEXT", help="whose name holds this text")
    group.add_argument("--older-than", type=_positive, metavar="DAYS", help="that were not used for that long")
    group.add_argument("--all", action="store_true", help="clear everything")
    cache.add_argument("--json", action="store_true", help="print JSON")


def _words(text: str) -> tuple[str, ...]:
    words = tuple(part.strip() for part in text.split(",") if part.strip())
    if not words:
        raise argparse.ArgumentTypeError("there is nothing in the list")
    return words


def _tests(text: str) -> tuple[str, ...]:
    words = _words(text)
    return tuple(Integrity) if words == ("all",) else words


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(_whole(part) for part in _words(text))


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return number


def _command_line(text: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no command: {error}") from None
    if not words:
        raise argparse.ArgumentTypeError("there is no command")
    return words


def _pair(text: str) -> tuple[str, ConfigValue]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, plain_value(value)


def plain_value(text: str) -> ConfigValue:
    """Read a value as JSON where it is some, or else take it as text.

    Example:
        >>> plain_value("4"), plain_value("true"), plain_value("1.5"), plain_value("[1, 2]"), plain_value("fast")
        (4, True, 1.5, (1, 2), 'fast')
    """
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        return tuple(value)
    return text if isinstance(value, list | dict) else value


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)
