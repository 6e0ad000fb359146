"""The schema of reports, made from the value classes and their docstrings."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import attrs

from bytemlperf.report.report import SCHEMA_VERSION, Report
from bytemlperf.spec import Axis
from bytemlperf.spec.reading import kinds_of

_PLAIN: Final[Mapping[object, str]] = {str: "string", int: "integer", float: "number", bool: "boolean"}
_NOT_WRITTEN: Final = {"extras", "folder"}
_AXIS: Final = {"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "description": "An axis in `batch`."}]}
_SHA256: Final = {"type": "string", "pattern": "^[0-9a-f]{64}$"}

JsonSchema = dict[str, Any]


def build() -> JsonSchema:
    """Return the JSON Schema of what is written now."""
    definitions: dict[str, JsonSchema] = {}
    report = _object(Report, definitions)
    for name in _NOT_WRITTEN:
        del report["properties"][name]
        report["required"].remove(name)
    report["properties"]["schema_version"] = {
        "const": SCHEMA_VERSION,
        "description": report["properties"]["schema_version"]["description"],
    }
    derived = {
        "job_key": _SHA256 | {"description": "sha256 of the job, less limits and labels: unique among jobs."},
        "digest": _SHA256 | {"description": "sha256 over the canonical JSON of all the rest."},
    }
    report["properties"] |= derived
    report["required"] += list(derived)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:bytemlperf:report:{SCHEMA_VERSION}",
        "title": "A report of bytemlperf",
        **report,
        "$defs": dict(sorted(definitions.items())),
    }


def _of(kind: Any, definitions: dict[str, JsonSchema]) -> JsonSchema:  # noqa: ANN401 - a typing form
    if kind == int | Axis:
        return dict(_AXIS)
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if kind is type(None):
        return {"type": "null"}
    if kind is Path:
        return {"type": "string"}
    if isinstance(kind, type) and not typing.get_args(kind):
        return _of_class(kind, definitions)
    return _of_form(kind, definitions)


def _of_class(kind: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if issubclass(kind, StrEnum):
        return {"enum": [member.value for member in kind]}
    if kinds := kinds_of(kind):
        return {"anyOf": [_tagged(name, each, definitions) for name, each in kinds.items()]}
    if attrs.has(kind):
        return _reference(kind, definitions)
    return {}


def _of_form(kind: Any, definitions: dict[str, JsonSchema]) -> JsonSchema:  # noqa: ANN401 - a typing form
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {typing.Union, types.UnionType}:
        return _union([_of(each, definitions) for each in arguments])
    if origin is tuple:
        return {"type": "array", "items": _of(arguments[0], definitions)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _of(arguments[1], definitions)}
    raise TypeError(f"no JSON form for {kind!r}")


def _union(rules: list[JsonSchema]) -> JsonSchema:
    plain = [rule["type"] for rule in rules if rule.keys() == {"type"}]
    others = [rule for rule in rules if rule.keys() != {"type"}]
    if not others:
        return {"type": plain}
    return {"anyOf": [*others, *({"type": each} for each in plain)]}


def _reference(kind: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    if kind.__name__ not in definitions:
        definitions[kind.__name__] = {}  # so that a class within itself ends
        definitions[kind.__name__] = _object(kind, definitions)
    return {"$ref": f"#/$defs/{kind.__name__}"}


def _tagged(name: str, kind: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    rule = _object(kind, definitions)
    rule["properties"] = {"kind": {"const": name}, **rule["properties"]}
    rule["required"] = ["kind", *rule["required"]]
    return rule


def _object(kind: type, definitions: dict[str, JsonSchema]) -> JsonSchema:
    hints = typing.get_type_hints(kind)
    told = _descriptions(kind)
    members = {
        each.name: {} if each.name in _NOT_WRITTEN else _of(hints[each.name], definitions)
        for each in attrs.fields(kind)
    }
    return {
        "type": "object",
        "description": (inspect.getdoc(kind) or "").partition("\n")[0],
        "properties": {
            name: rule | ({"description": told[name]} if name in told else {}) for name, rule in members.items()
        },
        "required": list(members),
        "additionalProperties": False,
    }


def _descriptions(kind: type) -> Mapping[str, str]:
    """Return what the docstrings of a class and its bases say of each attribute."""
    told: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        section = re.search(r"^Attributes:\n((?: .*\n?|\n)*)", inspect.cleandoc(each.__doc__ or ""), re.MULTILINE)
        entries = re.finditer(r"^    (\w+): ((?:.*\n?)(?:^     +.*\n?)*)", section[1] if section else "", re.MULTILINE)
        told |= {entry[1]: " ".join(entry[2].split()) for entry in entries}
    return told
