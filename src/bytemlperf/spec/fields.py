"""Converters and validators of value classes: each refuses with a SpecError that names the field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bytemlperf.errors import SpecError, nearest

if TYPE_CHECKING:
    import attrs

ChoiceT = TypeVar("ChoiceT", bound=StrEnum)
_LARGEST: Final = 2**63 - 1
Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def choice(kind: type[ChoiceT]) -> Callable[[str | ChoiceT], ChoiceT]:
    """Return a converter from text to a member of `kind`.

    The converter raises SpecError for text that is no member.
    """

    def convert(value: str | ChoiceT) -> ChoiceT:
        try:
            return kind(value)
        except ValueError:
            guess = nearest(str(value), [each.value for each in kind])
            raise SpecError(
                f"unknown {kind.__name__}",
                got=value,
                expected="one of " + ", ".join(kind),
                remedy=f"did you mean {guess[0]!r}?" if guess else None,
            ) from None

    return convert


# The three converters below speak of Any: mypy's plugin for attrs does not solve the type variables of a converter, and
# with them it would refuse every value. The fields' own types stay exact.


def as_tuple(value: Iterable[Any]) -> tuple[Any, ...]:
    """Take any list-like but text for a tuple.

    Raises:
        SpecError: If it is none.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise SpecError("wrong type", got=value, expected="a list or tuple")
    return tuple(value)


def optional_tuple(value: Iterable[Any] | None) -> tuple[Any, ...] | None:
    """Do as `as_tuple` does, but leave None."""
    return None if value is None else as_tuple(value)


def as_dict(value: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Copy a mapping, so that the caller's later changes do not reach a frozen value.

    Raises:
        SpecError: If it is none.
    """
    if not isinstance(value, Mapping):
        raise SpecError("wrong type", got=value, expected="a mapping")
    return dict(value)


def as_float(value: Any) -> Any:  # noqa: ANN401 - as above
    """Take a whole number for a float, so that 15 and 15.0 are one value; leave all else to the validator."""
    if not isinstance(value, int) or isinstance(value, bool):
        return value
    try:
        return float(value)
    except OverflowError:
        return float("inf")  # which validators refuse


def at_least(bound: int, *, most: int = _LARGEST, optional: bool = False) -> Validator:
    """Return a validator of whole numbers from `bound` to `most`; None passes where `optional`."""
    expected = f"a whole number >= {bound}" + (f" and <= {most}" if most < _LARGEST else "")
    return _bounded(int, lambda value: bound <= value <= most, expected, optional=optional)


def instance(*kinds: type) -> Validator:
    """Return a validator of instances of one of these classes."""

    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401 - what was given
        if not isinstance(value, kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise SpecError("wrong type", where=f"$.{attribute.name}", got=value, expected=expected)

    return validate


def positive(*, optional: bool = False) -> Validator:
    """Return a validator of numbers above 0; None passes where `optional`."""
    return _bounded((int, float), lambda value: 0 < value < float("inf"), "a number above 0", optional=optional)


def not_negative(*, optional: bool = False) -> Validator:
    """Return a validator of finite numbers from 0 up; None passes where `optional`."""
    return _bounded((int, float), lambda value: 0 <= value < float("inf"), "a number >= 0", optional=optional)


def share() -> Validator:
    """Return a validator of numbers strictly between 0 and 1."""
    return _bounded((int, float), lambda value: 0 < value < 1, "a number between 0 and 1", optional=False)


def share_or_all() -> Validator:
    """Return a validator of numbers above 0 and at most 1."""
    return _bounded((int, float), lambda value: 0 < value <= 1, "a number above 0, at most 1", optional=False)


def _bounded(
    kinds: type | tuple[type, ...], fits: Callable[[Any], bool], expected: str, *, optional: bool
) -> Validator:
    def validate(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:  # noqa: ANN401 - what was given
        if value is None and optional:
            return
        if isinstance(value, bool) or not isinstance(value, kinds) or not fits(value):
            raise SpecError("value out of range", where=f"$.{attribute.name}", got=value, expected=expected)

    return validate
