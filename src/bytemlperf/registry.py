"""Plug-ins by entry points: names cost only metadata, `get` loads one, a broken one hurts nobody else."""

from __future__ import annotations

import importlib
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Generic, TypeVar

import attrs

from bytemlperf.errors import BackendUnavailableError, SpecError, UnknownNameError

T = TypeVar("T")

GROUPS: Final = ("backends", "datasets", "metrics", "models")


@attrs.frozen(kw_only=True)
class Plugin:
    """A plug-in as its distribution declares it; nothing of it has been loaded.

    Attributes:
        name: Name to ask for.
        reference: `package.module:object`.
        distribution: Name and version of the distribution that declares it.
    """

    name: str
    reference: str
    distribution: str


class Registry(Generic[T]):
    """The plug-ins of one entry-point group, built-ins among them.

    Example:
        >>> "onnxruntime" in backends.names()
        True
    """

    def __init__(self, kind: str) -> None:
        """Name the kind: `backends` reads the group `bytemlperf.backends`."""
        self.kind = kind
        self.group = f"bytemlperf.{kind}"

    def names(self) -> tuple[str, ...]:
        """Return every declared name, sorted; loads nothing."""
        return tuple(sorted(entry_points(group=self.group).names))

    def plugins(self) -> tuple[Plugin, ...]:
        """Return every declaration, duplicates included; loads nothing."""
        return tuple(_plugin(entry) for entry in entry_points(group=self.group))

    def find(self, name: str) -> Plugin:
        """Return the one declaration of a name; loads nothing.

        Raises:
            UnknownNameError: If nothing installed declares it.
            SpecError: If two distributions declare it; the message names both.
        """
        found = {_plugin(entry) for entry in entry_points(group=self.group, name=name)}
        if not found:
            raise UnknownNameError(self.kind.removesuffix("s"), name, self.names(), remedy=self._how_to_install())
        if len(found) > 1:
            raise SpecError(
                f"two distributions declare the {self.kind.removesuffix('s')} {name!r}",
                got=sorted(f"{each.distribution} ({each.reference})" for each in found),
                remedy="uninstall one of them",
            )
        return found.pop()

    def get(self, name: str) -> T:
        """Load and return one plug-in's object.

        Raises:
            UnknownNameError: If nothing installed declares it.
            BackendUnavailableError: If it cannot be imported; names the plug-in, its
                distribution and the cause.
        """
        plugin = self.find(name)
        loaded: T = load(plugin.reference, what=f"{self.kind.removesuffix('s')} {name!r} of {plugin.distribution}")
        return loaded

    def _how_to_install(self) -> str:
        return f"a package adds one by the entry-point group {self.group!r}"


def _plugin(entry: EntryPoint) -> Plugin:
    dist = entry.dist
    return Plugin(name=entry.name, reference=entry.value, distribution=f"{dist.name} {dist.version}" if dist else "?")


def load(reference: str, *, what: str = "object") -> Any:  # noqa: ANN401 - whatever the reference names
    """Import `package.module:object`.

    Raises:
        SpecError: If the text is no reference.
        BackendUnavailableError: If the module cannot be imported or lacks the object.
    """
    module_name, colon, path = reference.partition(":")
    if not colon or not module_name or not path:
        raise SpecError(f"{what} is no reference", got=reference, expected="'package.module:object'")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # the plug-in edge: what an SDK's import raises is told, not passed on
        told = error if isinstance(error, BackendUnavailableError) else None  # of a plug-in that knows what it lacks
        raise BackendUnavailableError(
            f"{what} cannot be loaded from {reference}",
            got=told.what if told else f"{type(error).__name__}: {error}",
            remedy=(told and told.remedy) or "install or repair the package that it needs",
        ) from error
    return found


backends: Final[Registry[Any]] = Registry("backends")
"""Classes of backends, by the group `bytemlperf.backends`."""
datasets: Final[Registry[Any]] = Registry("datasets")
"""Classes of data sets, by the group `bytemlperf.datasets`."""
metrics: Final[Registry[Any]] = Registry("metrics")
"""Classes of sample metrics, by the group `bytemlperf.metrics`."""
generation: Final[Registry[Any]] = Registry("generation")
"""Classes of backends that generate in the place of the backend of that name, by the group `bytemlperf.generation`."""
models: Final[Registry[Any]] = Registry("models")
"""Model specs, by the group `bytemlperf.models`."""
