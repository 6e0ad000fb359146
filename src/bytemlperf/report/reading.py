"""Reports to JSON and back, over versions: strict for our own, lenient for a newer minor one."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, cast

import attrs

from bytemlperf.errors import ChecksumError, SpecError
from bytemlperf.report import schema
from bytemlperf.report.report import SCHEMA_VERSION, Report
from bytemlperf.spec import digest as digest_of
from bytemlperf.spec import from_json, to_json

if TYPE_CHECKING:
    from bytemlperf.spec.reading import Json

_NOT_WRITTEN: Final = ("extras", "folder")
_DERIVED: Final = ("job_key", "digest")
"""Keys that are made of the others."""


def to_dict(report: Report) -> dict[str, Json]:
    """Return the JSON form of a report; what a newer version wrote is put back in its places."""
    data = cast("dict[str, Json]", _finite(to_json(report)))
    for name in _NOT_WRITTEN:
        del data[name]
    data["job_key"] = report.job.key
    for pointer, value in report.extras.items():
        _put_back(data, pointer, copy.deepcopy(cast("Json", value)))
    data["digest"] = digest_of(data)
    return data


def from_dict(data: Mapping[str, object], *, verify: bool = True) -> Report:
    """Read the JSON form of a report; what an older minor version did not have yet gets its default.

    Raises:
        SpecError: If it is no report, or one of a newer major version.
        ChecksumError: If `verify` and its digest does not fit.
    """
    if not isinstance(data, Mapping):
        raise SpecError("no report", got=data, expected="an object")
    newer = _is_newer(data.get("schema_version"))
    _check_digest(data, verify=verify)
    document = cast("Json", copy.deepcopy(dict(data)))
    extras = dict(_split_unknown(document, schema.load())) if newer else {}
    assert isinstance(document, dict)
    for name in _NOT_WRITTEN:
        if name in document:
            raise SpecError("unknown key", where=f"$.{name}")
    content = {name: value for name, value in document.items() if name not in _DERIVED}
    return attrs.evolve(from_json(Report, content), extras=extras)


def _is_newer(version: object) -> bool:
    """Whether a version is a newer minor one.

    Raises:
        SpecError: If it is none, or of another major.
    """
    match = re.fullmatch(r"(\d{1,6})\.(\d{1,6})", version) if isinstance(version, str) else None
    if match is None:
        raise SpecError("no report: its version is missing", where="$.schema_version", got=version, expected="'1.0'")
    major, minor = (int(part) for part in SCHEMA_VERSION.split("."))
    if int(match[1]) > major:
        raise SpecError(
            "the report is of a newer major version",
            where="$.schema_version",
            got=version,
            expected=f"{major}.x",
            remedy="read it with a newer bytemlperf",
        )
    if int(match[1]) < major:
        raise SpecError("there was never such a version", where="$.schema_version", got=version)
    return int(match[2]) > minor


def _check_digest(data: Mapping[str, object], *, verify: bool) -> None:
    content = {name: value for name, value in data.items() if name != "digest"}
    try:
        fits = data.get("digest") == digest_of(content)
    except (TypeError, ValueError, RecursionError) as error:
        raise SpecError("a report holds what JSON does not", got=f"{type(error).__name__}: {error}") from None
    if verify and not fits:
        raise ChecksumError(
            "the report was changed after it was written",
            where="$.digest",
            got=data.get("digest"),
            remedy="read it without verifying if the change is known",
        )


def _finite(value: Json) -> Json:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_finite(each) for each in value]
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    return value


def _split_unknown(value: Json, rule: schema.Schema, pointer: str = "") -> Iterator[tuple[str, Json]]:
    """Take out of data, in place, what the schema does not know, and yield it by JSON pointer."""
    rule = schema.resolved(rule, value)
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from _split_unknown(each, rule.get("items", {}), f"{pointer}/{index}")
    elif isinstance(value, dict):
        known = rule.get("properties", {})
        for name in list(value):
            place = f"{pointer}/{_escaped(name)}"
            if name in known:
                yield from _split_unknown(value[name], known[name], place)
            elif rule.get("additionalProperties") is False:
                yield place, value.pop(name)
            else:
                yield from _split_unknown(value[name], rule.get("additionalProperties", {}), place)


def _put_back(data: Json, pointer: str, value: Json) -> None:
    """Set what a JSON pointer names; where its parent is gone, so is what was below."""
    *parents, name = (_unescaped(part) for part in pointer.split("/")[1:])
    for part in parents:
        if isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        elif isinstance(data, dict) and part in data:
            data = data[part]
        else:
            return
    if isinstance(data, dict):
        data[name] = value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")
