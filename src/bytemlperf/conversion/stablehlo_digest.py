"""The digest of a StableHLO module, whose weights are arguments and so no part of its text."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from bytemlperf.errors import ArtifactError

if TYPE_CHECKING:
    from pathlib import Path


def module_digest(index: Path) -> str:
    """Return the sha256 of the text for a batch of one.

    Args:
        index: As `export_stablehlo` writes it.

    Raises:
        ArtifactError: If there is no such text, or the index cannot be read.
    """
    try:
        name = json.loads(index.read_text(encoding="utf-8"))["modules"]["1"]
        return hashlib.sha256(index.with_name(name).read_bytes()).hexdigest()
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ArtifactError(
            "a module of StableHLO cannot be read",
            where=index.name,
            got=f"{type(error).__name__}: {error}",
            expected="an index with a module for a batch of one",
        ) from error
