"""Values to JSON and back: strict on our own input, every problem with its path.

Built on cattrs. Numbers are not guessed from text, unknown keys are refused, and all
problems of one document are told at once.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)

from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec.fields import choice
from bytemlperf.spec.tensor import Axis, DType, as_axis

T = TypeVar("T")
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""What a JSON document can hold."""

_EXACT: Final = 2**53
"""Below it a double holds every whole number."""


def from_json(kind: type[T], data: object, *, where: str = "$") -> T:
    """Build a value of an attrs class from JSON data.

    Args:
        kind: The class.
        data: What `json.load` gave.
        where: Path of `data` in its document, for messages.

    Raises:
        SpecError: If a key is missing or unknown, or a value has the wrong type or is
            refused by the class; the message names each place.

    Example:
        >>> from bytemlperf.spec import TensorSpec
        >>> from_json(TensorSpec, {"name": "x", "shape": ["batch", 3], "dtype": "fp32"}).sized(2)
        (2, 3)
        >>> from_json(TensorSpec, {"name": "x", "shape": [1], "dtype": "fp32", "valdi": "m"})
        Traceback (most recent call last):
        ...
        bytemlperf.errors.SpecError: unknown key (at $.valdi); did you mean 'valid'?
    """
    try:
        return _converter.structure(data, kind)
    except Exception as error:
        problems = tuple(_problems(error, where))
        if not problems:
            raise
        raise _joined(problems) from None


def to_json(value: object) -> Any:  # noqa: ANN401 - any JSON value, as json.dumps takes it
    """Return plain JSON data of an attrs value; `from_json` reads it back."""
    return json.loads(json.dumps(_converter.unstructure(value)))


def canonical_json(value: object) -> str:
    """Return the one text of a value: sorted keys, no spaces, no NaN, whole numbers without a fraction.

    Example:
        >>> canonical_json({"b": 1.0, "a": [1.5, None]})
        '{"a":[1.5,null],"b":1}'
    """
    plain = _whole_numbers(to_json(value))
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _whole_numbers(value: Json) -> Json:
    """Write 60.0 as 60, so that a value has one text whether it was given as the one or the other."""
    if isinstance(value, float) and abs(value) < _EXACT and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole_numbers(each) for each in value]
    if isinstance(value, dict):
        return {name: _whole_numbers(each) for name, each in value.items()}
    return value


def digest(value: object) -> str:
    """Return the sha256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _problems(error: BaseException, path: str) -> Iterator[SpecError]:
    if isinstance(error, ClassValidationError):
        inner, rest = error.group_exceptions()
        for each, note in inner:
            yield from _problems(each, _below(path, note))
        for each in rest:
            yield from _problems(each, path)
    elif isinstance(error, IterableValidationError):
        items, rest = error.group_exceptions()
        for each, item in items:
            yield from _problems(each, _below(path, item))
        for each in rest:
            yield from _problems(each, path)
    else:
        yield from _leaf(error, path)


def _below(path: str, note: AttributeValidationNote | IterableValidationNote) -> str:
    if isinstance(note, AttributeValidationNote):
        return f"{path}.{note.name}"
    return f"{path}[{note.index!r}]"


def _leaf(error: BaseException, path: str) -> Iterator[SpecError]:
    if isinstance(error, ForbiddenExtraKeysError):
        known = [field.name for field in attrs.fields(error.cl)]
        for key in sorted(error.extra_fields, key=str):
            guess = nearest(str(key), known)
            remedy = f"did you mean {guess[0]!r}?" if guess else f"known keys: {', '.join(known)}"
            yield SpecError("unknown key", where=f"{path}.{key}", remedy=remedy)
    elif isinstance(error, SpecError):
        where = path if error.where is None else path + error.where.removeprefix("$")
        yield SpecError(error.what, where=where, got=error.got, expected=error.expected, remedy=error.remedy)
    elif isinstance(error, KeyError):
        yield SpecError("missing key", where=path if path.endswith(f".{error.args[0]}") else f"{path}.{error.args[0]}")
    elif isinstance(error, RecursionError):
        yield SpecError("nested too deeply", where=path)
    elif isinstance(error, TypeError | ValueError | OverflowError | AttributeError):
        text = str(error.args[0]) if error.args else type(error).__name__
        yield SpecError(text, where=path)


def _joined(problems: tuple[SpecError, ...]) -> SpecError:
    if len(problems) == 1:
        return problems[0]
    listed = "; ".join(str(each) for each in problems[:10])
    more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""  # noqa: PLR2004 - a readable number of rows
    return SpecError(f"{len(problems)} problems: {listed}{more}")


def _exactly(kind: type[T], *also: type) -> Callable[[object, type[T]], T]:
    def structure(value: object, _: type[T]) -> T:
        if type(value) is not kind and type(value) not in also:
            raise SpecError("wrong type", got=value, expected=kind.__name__)
        return kind(_storable(value))  # type: ignore[call-arg]

    return structure


def _scalar(value: object, _: object) -> object:
    if value is None or isinstance(value, str | int | float | bool):
        return _storable(value)
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float | bool) for each in value):
        return tuple(_storable(each) for each in value)
    raise SpecError("wrong type", got=value, expected="text, a number, true or false")


def _storable(value: object) -> object:
    """Refuse what Python's JSON reader lets in and no JSON file can hold: NaN, infinity, half a character."""
    if isinstance(value, float) and not math.isfinite(value):
        raise SpecError("not a finite number", got=value)
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SpecError("text with half a character", got=value) from None
    return value


def _is_scalar_union(kind: object) -> bool:
    """Whether a hint is a union of plain values, which needs no tag."""
    arguments = getattr(kind, "__args__", ())
    plain = (str, int, float, bool, type(None))
    is_union = type(kind).__name__ in {"UnionType", "_UnionGenericAlias", "Union"}
    return (
        is_union
        and len([each for each in arguments if each is not type(None)]) > 1
        and all(each in plain or getattr(each, "__origin__", None) is tuple for each in arguments)
    )


def _only_none(value: object, _: object) -> None:
    if value is not None:
        raise SpecError("a live object cannot come from JSON", got=value)


def _mapping_of(kind: Any) -> Callable[[object, object], Mapping[Any, Any]]:  # noqa: ANN401 - a typing form
    key_type, value_type = kind.__args__

    def structure(value: object, _: object) -> Mapping[Any, Any]:
        if not isinstance(value, Mapping):
            raise SpecError("wrong type", got=value, expected="an object")
        problems: list[SpecError] = []
        built = {}
        for key, each in value.items():
            try:
                built[_converter.structure(key, key_type)] = _converter.structure(each, value_type)
            except Exception as error:  # noqa: BLE001 - as in from_json
                problems.extend(_problems(error, f"$.{key}"))
        if problems:
            raise _joined(tuple(problems))
        return built

    return structure


def _tuple_guard(kind: Any) -> Callable[[object, object], tuple[Any, ...]]:  # noqa: ANN401 - a typing form
    item = kind.__args__[0]

    def structure(value: object, _: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise SpecError("wrong type", got=value, expected="a list")
        return tuple(_converter.structure(value, list[item]))  # type: ignore[valid-type]

    return structure


def _attrs_guard(kind: type[Any]) -> Callable[[object, object], Any]:
    strict = cattrs.gen.make_dict_structure_fn(
        kind, _converter, _cattrs_forbid_extra_keys=True, _cattrs_detailed_validation=True
    )

    def structure(value: object, _: object) -> Any:  # noqa: ANN401 - an instance of `kind`
        if not isinstance(value, Mapping):
            raise SpecError("wrong type", got=value, expected="an object")
        return strict(value, kind)

    return structure


def _is_variadic_tuple(kind: Any) -> bool:  # noqa: ANN401 - a typing form
    return getattr(kind, "__origin__", None) is tuple and kind.__args__[1:] == (Ellipsis,)


def _is_mapping(kind: Any) -> bool:  # noqa: ANN401 - a typing form
    origin = getattr(kind, "__origin__", None)
    return isinstance(origin, type) and issubclass(origin, Mapping) and len(kind.__args__) == 2  # noqa: PLR2004 - key and value


def _is_own_class(kind: Any) -> bool:  # noqa: ANN401 - a typing form
    return isinstance(kind, type) and attrs.has(kind) and "kind_name" not in vars(kind)


def _enum(value: object, kind: type[StrEnum]) -> StrEnum:
    if not isinstance(value, str):
        raise SpecError("wrong type", got=value, expected="text")
    return DType.of(value) if kind is DType else choice(kind)(value)


_kinds: dict[type, Mapping[str, type]] = {}


def kinds_of(base: type) -> Mapping[str, type]:
    """Return the classes that the key `kind` tells apart; empty for a class that `tag_union` was not told of."""
    return MappingProxyType(_kinds.get(base, {}))


def tag_union(base: Any, kinds: Mapping[str, type[T]]) -> None:  # noqa: ANN401 - an abstract class, which type[T] excludes
    """Teach JSON to tell the subclasses of `base` apart by the key `kind`."""

    def structure(value: object, _: object) -> T:
        if not isinstance(value, Mapping):
            raise SpecError("wrong type", got=value, expected="an object with a key 'kind'")
        if "kind" not in value:
            raise SpecError("missing key", where="$.kind", expected=f"one of {', '.join(kinds)}")
        kind = kinds.get(value["kind"]) if isinstance(value["kind"], str) else None
        if kind is None:
            raise SpecError("unknown kind", where="$.kind", got=value["kind"], expected=f"one of {', '.join(kinds)}")
        return from_json(kind, {key: each for key, each in value.items() if key != "kind"})

    def unstructure(value: T) -> object:
        name = next(name for name, kind in kinds.items() if type(value) is kind)
        return {"kind": name, **plain[type(value)](value)}

    _kinds[base] = kinds
    plain = {kind: cattrs.gen.make_dict_unstructure_fn(kind, _converter) for kind in kinds.values()}
    _converter.register_structure_hook_func(lambda kind: kind is base, structure)
    _converter.register_unstructure_hook_func(lambda kind: kind is base or kind in plain, unstructure)


def _make_converter() -> cattrs.Converter:
    made = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for plain, also in ((bool, ()), (int, ()), (float, (int,)), (str, ())):
        made.register_structure_hook(plain, _exactly(plain, *also))  # a hook by predicate would come after cattrs' own
    made.register_structure_hook_func(_is_scalar_union, _scalar)
    made.register_structure_hook(int | Axis, lambda value, _: as_axis(value))
    made.register_structure_hook_func(partial(operator.is_, object), _only_none)
    made.register_structure_hook_factory(_is_variadic_tuple, _tuple_guard)
    made.register_structure_hook_factory(_is_mapping, _mapping_of)
    made.register_structure_hook_factory(_is_own_class, _attrs_guard)
    made.register_structure_hook(StrEnum, _enum)
    made.register_structure_hook(Path, lambda value, _: Path(_exactly(str)(value, str)))
    made.register_unstructure_hook(Axis, str)
    made.register_unstructure_hook(Path, str)
    made.register_unstructure_hook(tuple, lambda value: [to_json(each) for each in value])
    made.register_unstructure_hook_func(
        _is_mapping, lambda value: {str(key): to_json(each) for key, each in value.items()}
    )
    return made


_converter = _make_converter()
