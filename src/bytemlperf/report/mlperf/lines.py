"""Lines of MLPerf's detail log: one JSON object each, behind a marker.

Source: `AsyncLog::LogDetail` in logging.h, mlcommons/inference at b66003e.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

import attrs

from bytemlperf.errors import SpecError
from bytemlperf.report.mlperf.keys import checked
from bytemlperf.spec.fields import as_dict
from bytemlperf.spec.reading import Json

T = TypeVar("T")
MARKER: Final = ":::MLLOG"
"""What each line of a detail log begins with."""

_NAMESPACE: Final = "mlperf::logging"
_POINT: Final = "POINT_IN_TIME"
_NO_NUMBER: Final = re.compile(r'("value": )-?(?:nan|inf)\b', re.IGNORECASE)


@attrs.frozen(kw_only=True)
class LogLine:
    """One thing that a log tells.

    Attributes:
        key: What is told.
        value: Any JSON value; None for what LoadGen writes as `nan` or `inf`, which is no JSON.
        time_ms: Milliseconds since the log was begun.
        is_error: Whether it is an error of the run.
        is_warning: Whether it is a warning.
        extras: What else the line holds, such as `pid` and `line_no`.
    """

    key: str
    value: Json
    time_ms: float = 0.0
    is_error: bool = False
    is_warning: bool = False
    extras: Mapping[str, Json] = attrs.field(factory=dict, converter=as_dict)

    def __str__(self) -> str:
        """Write the line as LoadGen does, without the source's place and the process, where there are none."""
        flags = {"is_error": self.is_error, "is_warning": self.is_warning}
        rest = {key: value for key, value in self.extras.items() if key not in {"namespace", "event_type"}}
        data = {
            "key": self.key,
            "value": self.value,
            "time_ms": self.time_ms,
            "namespace": self.extras.get("namespace", _NAMESPACE),
            "event_type": self.extras.get("event_type", _POINT),
            "metadata": {**flags, **rest},
        }
        return f"{MARKER} {json.dumps(data, allow_nan=False)}"


def parse(text: str, *, file: str) -> tuple[LogLine, ...]:
    """Read the text of a detail log.

    Args:
        text: Of the whole file.
        file: Its name, for messages.

    Raises:
        SpecError: For a line that is none of such a log, with its number.
    """
    lines = tuple(
        _line(each, where=f"{file}:{number}") for number, each in enumerate(text.split("\n"), start=1) if each.strip()
    )
    if not lines:
        raise SpecError("the file is empty", where=file, expected=f"lines that begin with {MARKER}")
    return lines


def _line(text: str, *, where: str) -> LogLine:
    if not text.startswith(MARKER):
        raise SpecError("no line of MLPerf's detail log", where=where, got=text[:60], expected=f"{MARKER} {{...}}")
    try:
        data = json.loads(_NO_NUMBER.sub(r"\1null", text.removeprefix(MARKER)))
        metadata = dict(data["metadata"])
        line = LogLine(
            key=_of(str, data, "key"),
            value=data["value"],
            time_ms=float(data["time_ms"]),
            is_error=_of(bool, metadata, "is_error"),
            is_warning=_of(bool, metadata, "is_warning"),
            extras=_extras(data, metadata),
        )
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise SpecError(
            "a line of the detail log cannot be read",
            where=where,
            got=f"{type(error).__name__}: {error}",
            expected="JSON with key, value, time_ms and metadata",
        ) from error
    return attrs.evolve(line, value=checked(line.key, line.value, where=where))


def _of(kind: type[T], data: Mapping[str, Json], name: str) -> T:
    value = data[name]
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}")
    return value


def _extras(data: Mapping[str, Json], metadata: Mapping[str, Json]) -> dict[str, Json]:
    """Return what is in a line besides what every line has."""
    usual = {"namespace": _NAMESPACE, "event_type": _POINT}
    told = {name: data[name] for name in usual if data.get(name) != usual[name]}
    return told | {name: value for name, value in metadata.items() if name not in {"is_error", "is_warning"}}


def joined(lines: Iterable[LogLine]) -> str:
    """Return the text of a log."""
    return "".join(f"{line}\n" for line in lines)
