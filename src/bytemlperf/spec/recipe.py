"""A recipe: which architecture to build, as data, so that it can be built in another process."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from bytemlperf.errors import SpecError

ConfigValue = str | int | float | bool | None | tuple[str | int | float | bool, ...]


def _reference(_: Recipe, __: attrs.Attribute[str], value: str) -> None:
    module, _colon, name = str(value).partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise SpecError("an architecture is no reference", got=value, expected="'package.module:function'")


def _frozen_config(value: Mapping[str, object]) -> Mapping[str, ConfigValue]:
    return {name: tuple(each) if isinstance(each, list) else each for name, each in dict(value).items()}  # type: ignore[misc]


@attrs.frozen(kw_only=True)
class Recipe:
    """How to build a model's module.

    Attributes:
        architecture: `package.module:function` that builds the module from the configuration.
        version: Version of that definition; another version is another benchmark.
        config: Keyword arguments of the function.
    """

    architecture: str = attrs.field(validator=_reference)
    version: str = "1"
    config: Mapping[str, ConfigValue] = attrs.field(factory=dict, converter=_frozen_config)
