"""Versions of the installed packages that figures depend on, read from metadata: nothing is imported."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Final

from bytemlperf import registry

_TOOLING: Final = {"dev"}
"""Extras that hold tools and no runtime."""

Find = Callable[[str], Distribution]
"""Gives an installed distribution, or raises PackageNotFoundError."""


def installed(roots: Iterable[str], *, find: Find = distribution) -> Mapping[str, str]:
    """Return the versions of distributions and of all that they require, as far as installed, by name.

    A root's extras count, since backends live in them; those of its requirements do not.
    """
    todo = [(normalised(root), True) for root in roots]
    versions: dict[str, str] = {}
    for name, is_root in todo:  # grows while it is walked
        if name in versions:
            continue
        try:
            found = find(name)
        except PackageNotFoundError:
            continue
        versions[name] = found.version
        todo.extend((each, False) for each in _required(found, extras=is_root))
    return dict(sorted(versions.items()))


def plugin_distributions() -> tuple[str, ...]:
    """Return the names of the distributions that declare plug-ins; loads none of them."""
    registries = (registry.backends, registry.datasets, registry.metrics, registry.models)
    names = {plugin.distribution.split(" ")[0] for each in registries for plugin in each.plugins()}
    return tuple(sorted(names - {"?"}))


def normalised(name: str) -> str:
    """Return a distribution's name as indexes compare it.

    Example:
        >>> normalised("Typing_Extensions")
        'typing-extensions'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(found: Distribution, *, extras: bool) -> Iterator[str]:
    for requirement in found.requires or ():
        text, _, marker = requirement.partition(";")
        extra = re.search(r"""extra\s*==\s*["']([^"']*)["']""", marker)
        name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", text)
        if name and (extra is None or (extras and extra[1] not in _TOOLING)):
            yield normalised(name[1])
