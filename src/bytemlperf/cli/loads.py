"""Load patterns on the command line: `server:target_qps=40,bound_ms=15`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bytemlperf.cli.arguments import plain_value
from bytemlperf.errors import SpecError
from bytemlperf.report.files import read_trace
from bytemlperf.scenarios import Scenario
from bytemlperf.spec import from_json
from bytemlperf.workload import Lengths, TokenBounds


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
        name, value = _field(part, f"--scenario {text}")
        _put(data, name, plain_value(value))
    if data["kind"] == "replay" and "trace" in data:
        data["scheduled_ns"] = _arrivals(Path(str(data.pop("trace"))))
    return from_json(Scenario, data, where=f"--scenario {kind}")  # type: ignore[type-abstract]


def read_prompts(text: str) -> Lengths:
    """Read lengths of prompts and answers; a uniform length is written `16-128`, draws `sampling.temperature=0.8`.

    Raises:
        SpecError: If there is no such field, or a value is wrong.

    Example:
        >>> read_prompts("input=128,output=16-32").output
        (16, 32)
    """
    fields = dict(_field(part, f"--prompts {text}") for part in text.split(",") if part.strip())
    ranges = {name: _length(value) for name, value in fields.items() if name in {"input", "output"}}
    if "stop" in fields:
        ranges["stop"] = [plain_value(each) for each in fields["stop"].split("+")]
    data: dict[str, Any] = {}
    for name, value in fields.items():
        _put(data, name, ranges[name] if name in ranges else plain_value(value))
    return from_json(Lengths, data, where="--prompts")


def read_bounds(text: str) -> TokenBounds:
    """Read what users would put up with.

    Raises:
        SpecError: If there is no such field, or a value is wrong.

    Example:
        >>> read_bounds("ttft_ms=200,tpot_ms=50").tpot_ms
        50.0
    """
    fields = dict(_field(part, f"--bounds {text}") for part in text.split(",") if part.strip())
    return from_json(TokenBounds, {name: plain_value(value) for name, value in fields.items()}, where="--bounds")


def _field(part: str, where: str) -> tuple[str, str]:
    name, equals, value = part.partition("=")
    if not equals:
        raise SpecError("a field has no value", where=where, got=part, expected="NAME=VALUE")
    return name.strip(), value.strip()


def _length(value: str) -> list[Any]:
    low, _, high = value.partition("-")
    return [plain_value(low), plain_value(high or low)]


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
