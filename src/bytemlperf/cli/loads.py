"""Load patterns on the command line: `server:target_qps=40,bound_ms=15`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bytemlperf.cli.arguments import plain_value
from bytemlperf.errors import SpecError
from bytemlperf.report.files import read_trace
from bytemlperf.scenarios import Scenario
from bytemlperf.spec import from_json


def read_scenario(text: str) -> Scenario:
    """Read a kind and its fields; a field of the warm-up is written `warmup.max_queries=10`.

    The arrivals of a recorded run are replayed by `replay:trace=FILE`, one of the files in a report's `traces`.

    Raises:
        SpecError: If there is no such kind or field, or a value is wrong.

    Example:
        >>> read_scenario("server:target_qps=40,bound_ms=15").key
        'server/target_qps=40/bound_ms=15'
    """
    kind, _, rest = text.partition(":")
    data: dict[str, Any] = {"kind": kind.strip()}
    for part in filter(None, (each.strip() for each in rest.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise SpecError(
                "a field of a scenario has no value", where=f"--scenario {text}", got=part, expected="NAME=VALUE"
            )
        _put(data, name.strip(), plain_value(value.strip()))
    if data["kind"] == "replay" and "trace" in data:
        data["scheduled_ns"] = _arrivals(Path(str(data.pop("trace"))))
    return from_json(Scenario, data, where=f"--scenario {kind}")  # type: ignore[type-abstract]


def _put(data: dict[str, Any], name: str, value: object) -> None:
    outer, dot, inner = name.partition(".")
    if dot:
        data.setdefault(outer, {})[inner] = value
    else:
        data[name] = value


def _arrivals(path: Path) -> list[int]:
    """Return when the queries of a recorded run were due, in ns after its start."""
    trace = read_trace(path)
    due: list[int] = (trace.scheduled_ns - trace.started_ns)[:: trace.samples_per_query].tolist()
    return sorted(due)
