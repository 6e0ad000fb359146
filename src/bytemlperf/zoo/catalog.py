"""The installed models by name, our own and anyone's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bytemlperf.errors import BackendUnavailableError, SpecError
from bytemlperf.registry import models
from bytemlperf.spec import Domain, Framework, ModelSpec, Purpose
from bytemlperf.spec.fields import choice

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)


def names(
    *,
    domain: str | Domain | None = None,
    purpose: str | Purpose | None = None,
    framework: str | Framework | None = None,
) -> tuple[str, ...]:
    """Return the task names of the installed models, sorted.

    Without a filter nothing is loaded. With one, specs are loaded but no framework; a model
    whose package is broken is left out and told in the log.

    Args:
        domain: Only of this domain.
        purpose: Only of this class.
        framework: Only defined in this framework.

    Raises:
        SpecError: If a filter is unknown.

    Example:
        >>> "resnet50-torch-fp32" in names(domain="cv", framework="torch")
        True
    """
    wanted = {
        "domain": None if domain is None else choice(Domain)(domain),
        "purpose": None if purpose is None else choice(Purpose)(purpose),
        "framework": None if framework is None else choice(Framework)(framework),
    }
    asked = {field: value for field, value in wanted.items() if value is not None}
    if not asked:
        return models.names()
    return tuple(spec.name for spec in _loadable() if all(getattr(spec, field) is asked[field] for field in asked))


def get(name: str) -> ModelSpec:
    """Return the spec of an installed model.

    Raises:
        UnknownNameError: If there is none of that name; suggests some that look like it.
        SpecError: If what a package declares under that name is no spec of that name.
        BackendUnavailableError: If its package cannot be imported.
    """
    spec = models.get(name)
    if not isinstance(spec, ModelSpec) or spec.name != name:
        plugin = models.find(name)
        raise SpecError(
            f"the model {name!r} of {plugin.distribution} is no spec of that name",
            where=plugin.reference,
            got=spec.name if isinstance(spec, ModelSpec) else type(spec).__name__,
            expected=f"a ModelSpec whose name is {name!r}",
        )
    return spec


def _loadable() -> Iterator[ModelSpec]:
    for name in models.names():
        try:
            yield get(name)
        except (BackendUnavailableError, SpecError) as error:
            logger.warning("a model is left out: %s", error)
