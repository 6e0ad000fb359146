"""The published JSON Schema of reports.

`report-<version>.json` beside this file is what the package ships; it is made from the value classes
by `build`, and a test holds both equal, so that the JSON cannot change without its schema.

History:
    1.0: The first.

A minor version adds keys or members of closed sets; a reader of the same major keeps the keys that it
does not know (`Report.extras`) and writes them back. A major version may rename and remove; every old
major stays readable.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonschema import Draft202012Validator

Schema: TypeAlias = "Mapping[str, Any]"
"""A JSON Schema, 2020-12."""

_FILE: Final = "report-1.0.json"


@cache
def load() -> Schema:
    """Return the published schema of the version that is written."""
    schema: Schema = json.loads(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return schema


def validate(data: object) -> None:
    """Check a report's JSON against the schema.

    Raises:
        SpecError: If it does not fit; names the place.
    """
    error = _first_error(data)
    if error is not None:
        raise SpecError("a report does not fit its schema", where=error[0], got=error[1])


def _first_error(data: object) -> tuple[str, str] | None:
    from jsonschema.exceptions import best_match

    error = best_match(_validator().iter_errors(data))
    return None if error is None else (error.json_path, error.message)


@cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(load())


def resolved(rule: Schema, value: object) -> Schema:
    """Return the rule that says what members a value has: references followed, the fitting choice taken."""
    while "$ref" in rule:
        rule = load()["$defs"][rule["$ref"].rpartition("/")[2]]
    choices = [resolved(each, value) for each in rule.get("anyOf", ())]
    fitting = (each for each in choices if _fits(each, value))
    return next(fitting, rule)


def _fits(rule: Schema, value: object) -> bool:
    if isinstance(value, dict):
        kind = rule.get("properties", {}).get("kind", {}).get("const")
        return rule.get("type") == "object" and kind in (None, value.get("kind"))
    return isinstance(value, list) and rule.get("type") == "array"
