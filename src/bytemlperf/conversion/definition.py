"""What decides the module that a recipe builds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bytemlperf.artifact import digest_of
from bytemlperf.spec import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

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
