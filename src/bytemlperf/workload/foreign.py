"""Reading of other people's JSON: every problem is a SpecError that names the file and the place in it."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

import attrs

from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec.reading import Json

ForeignSource: TypeAlias = str | os.PathLike[str] | Mapping[str, object]
"""A path, or what a JSON file holds."""

LARGEST: Final = 2**31 - 1
"""Bound of counts and lengths: what any runtime takes for one."""


@attrs.frozen(kw_only=True)
class Document:
    """A JSON object, and the name of the file that it came from.

    Attributes:
        file: Name of the file, without its folder; empty for data that came from none.
        fields: The object's members, in the file's order.
    """

    file: str = ""
    fields: Mapping[str, Json]

    @classmethod
    def load(cls, source: ForeignSource) -> Document:
        """Read a file, or take data that was read already (a copy of it).

        Raises:
            SpecError: If the file cannot be read, or holds no JSON object, or a key twice, or a
                number that JSON does not have.
        """
        if isinstance(source, Mapping):
            return cls(fields=_checked(source))
        path = Path(source)
        try:
            data = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_without_repeats)
        except SpecError as error:
            raise SpecError(error.what, where=path.name, got=error.got, expected=error.expected) from None
        except (OSError, ValueError, RecursionError) as error:
            raise SpecError(
                "the file cannot be read as JSON", where=path.name, got=f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(data, dict):
            raise SpecError("wrong type", where=f"{path.name}: $", got=data, expected="an object")
        document = cls(file=path.name, fields=data)
        try:
            return attrs.evolve(document, fields=_checked(data))
        except SpecError as error:
            document.refuse(error.what, error.where or "$", got=error.got, expected=error.expected or "JSON data")

    def refuse(
        self, what: str, path: str, *, got: object = None, expected: str | None = None, remedy: str | None = None
    ) -> NoReturn:
        """Raise a SpecError for a place such as `$.batch_sizes[0]`.

        Raises:
            SpecError: Always.
        """
        raise SpecError(what, where=self.place(path), got=got, expected=expected, remedy=remedy)

    def place(self, path: str) -> str:
        """Return a path with the file's name before it, where there is one."""
        return f"{self.file}: {path}" if self.file else path

    def value(self, key: str) -> Json:
        """Return a member.

        Raises:
            SpecError: If it is missing; names a key that looks like it.
        """
        if key not in self.fields:
            guess = nearest(key, self.fields)
            self.refuse("missing key", f"$.{key}", remedy=f"is {guess[0]!r} meant to be it?" if guess else None)
        return self.fields[key]

    def flag(self, key: str) -> bool:
        """Return true or false.

        Raises:
            SpecError: If the member is missing or something else.
        """
        value = self.value(key)
        if not isinstance(value, bool):
            self.refuse("wrong type", f"$.{key}", got=value, expected="true or false")
        return value

    def text(self, key: str) -> str:
        """Return text that is not empty.

        Raises:
            SpecError: If the member is missing or something else.
        """
        value = self.value(key)
        if not isinstance(value, str) or not value.strip():
            self.refuse("wrong type or empty", f"$.{key}", got=value, expected="text")
        return value

    def task_name(self, key: str) -> str:
        """Return text that can be a task's name.

        Raises:
            SpecError: If the member is missing or something else.
        """
        name = self.text(key)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            self.refuse("no task name", f"$.{key}", got=name, expected="letters, digits, '.', '_', '-'")
        return name

    def whole(self, key: str, *, low: int = 1, high: int = LARGEST) -> int:
        """Return a whole number of a range.

        Raises:
            SpecError: If the member is missing or something else.
        """
        return self.whole_value(self.value(key), f"$.{key}", low=low, high=high)

    def whole_value(self, value: Json, path: str, *, low: int = 1, high: int = LARGEST) -> int:
        """Return a value that must be a whole number of a range.

        Raises:
            SpecError: If it is something else.
        """
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse("wrong type or out of range", path, got=value, expected=f"a whole number, {low} to {high}")
        return value

    def wholes(self, key: str) -> tuple[int, ...]:
        """Return a list, not empty, of distinct whole numbers above 0.

        Raises:
            SpecError: If the member is missing or something else.
        """
        value = self.value(key)
        if not isinstance(value, list) or not value:
            self.refuse("wrong type or empty", f"$.{key}", got=value, expected="a list of whole numbers")
        numbers = tuple(self.whole_value(each, f"$.{key}[{index}]") for index, each in enumerate(value))
        for index, number in enumerate(numbers):
            if number in numbers[:index]:
                self.refuse("the same number twice", f"$.{key}[{index}]", got=number)
        return numbers

    def names(self, key: str) -> tuple[str, ...]:
        """Return the distinct names of a list that is written as text with commas.

        Raises:
            SpecError: If the member is missing or something else.
        """
        names = tuple(part.strip() for part in self.text(key).split(","))
        if not all(names) or len(set(names)) != len(names):
            self.refuse("an empty or repeated name", f"$.{key}", got=self.fields[key], expected="distinct names")
        return names

    def unknown(self, known: tuple[str, ...]) -> Mapping[str, Json]:
        """Return the members whose keys are not among `known`."""
        return {key: value for key, value in self.fields.items() if key not in known}

    def unknown_warnings(self, known: tuple[str, ...]) -> tuple[str, ...]:
        """Say of each unknown key where it is and what it may have been meant to be."""
        told = []
        for key in self.unknown(known):
            guess = nearest(key, known)
            hint = f"; did you mean {guess[0]!r}?" if guess else ""
            told.append(f"unknown key, kept as it is (at {self.place(f'$.{key}')}){hint}")
        return tuple(told)


def _without_repeats(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    members = dict(pairs)
    if len(members) != len(pairs):
        keys = [key for key, _ in pairs]
        raise SpecError("a key comes twice", got=sorted({key for key in keys if keys.count(key) > 1}))
    return members


def _checked(fields: Mapping[str, object]) -> Mapping[str, Json]:
    """Copy data, and see that JSON can hold it."""
    try:
        return {_key(key, "$"): _json(value, f"$.{key}") for key, value in fields.items()}
    except RecursionError:
        raise SpecError("nested too deeply", where="$") from None


def _json(value: object, path: str) -> Json:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, list | tuple):
        return [_json(each, f"{path}[{index}]") for index, each in enumerate(value)]
    if isinstance(value, Mapping):
        return {_key(key, path): _json(each, f"{path}.{key}") for key, each in value.items()}
    raise SpecError("not JSON data", where=path, got=value, expected="null, text, a finite number, a list, an object")


def _key(key: object, path: str) -> str:
    if not isinstance(key, str):
        raise SpecError("a key is no text", where=path, got=key)
    return _text(key, path)


def _text(text: str, path: str) -> str:
    """Refuse half a character (a lone surrogate), which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise SpecError("text with half a character", where=path, got=text) from None
    return text
