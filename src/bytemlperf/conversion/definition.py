"""What decides the module that a recipe builds, and whether its architecture takes what it says."""

from __future__ import annotations

import inspect
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bytemlperf.artifact import digest_of
from bytemlperf.errors import SpecError, nearest
from bytemlperf.spec import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bytemlperf.spec import Recipe


def definition(recipe: Recipe) -> Mapping[str, object]:
    """Return what decides the module of a recipe: the recipe itself, and the file that defines it.

    An architecture under way changes without a new version; what was made of it before is then not used.
    """
    return {"recipe": to_json(recipe), "source": source_digest(recipe.architecture)}


def source_digest(reference: str) -> str | None:
    """Return the digest of the file that defines `package.module:object`; None where there is none. Loads nothing."""
    try:
        found = find_spec(reference.partition(":")[0])
    except (ImportError, ValueError):
        return None
    return digest_of(Path(found.origin)) if found is not None and found.has_location and found.origin else None


def check_config(build: Callable[..., Any], recipe: Recipe) -> None:
    """Refuse a configuration with keys that its architecture does not take, such as the whole of a hub's `config.json`.

    A key that is not known may be what makes it another model, so that none is passed over.

    Args:
        build: The recipe's function.
        recipe: The recipe.

    Raises:
        SpecError: Naming the unknown keys and the known ones.
    """
    try:
        parameters = inspect.signature(build).parameters.values()
    except (TypeError, ValueError):  # of something that is no function, or one without a signature
        return
    if any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
        return
    known = [each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY]
    known = known or [each.name for each in parameters]
    unknown = [key for key in recipe.config if key not in known]
    if unknown:
        guesses = [f"{key!r} may be {near[0]!r}" for key in unknown if (near := nearest(key, known))]
        raise SpecError(
            "a configuration has keys that its architecture does not take",
            where=f"{recipe.architecture} $.recipe.config",
            got=unknown,
            expected=f"only: {', '.join(sorted(known))}",
            remedy="; ".join([*guesses, "leave out what does not change the graph"]),
        )
