"""What may be told of an error that came from elsewhere: one line, and no secret."""

from __future__ import annotations

import re
from typing import Final

_SECRETS: Final = (
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), "hf_..."),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]+"), r"\1 ..."),
    (re.compile(r"://[^/\s@]+@"), "://...@"),
    (re.compile(r"(https?://[^\s?#'\"]+)\?[^\s'\"]*"), r"\1?..."),
)
"""Tokens of the hub, authorisation headers, users in URLs, and queries, which is where signed URLs have their keys."""


def one_line(error: BaseException) -> str:
    """Return an error's type and first line, and the notes on it, without what looks like a secret."""
    lines = str(error).strip().splitlines()
    told = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return without_secrets(told + notes)


def without_secrets(text: str) -> str:
    """Return a text with what looks like a token, a password or a signed query left out.

    Example:
        >>> without_secrets("GET https://me:secret@host/file?key=1 with hf_abcdefghijk")
        'GET https://...@host/file?... with hf_...'
    """
    for pattern, put in _SECRETS:
        text = pattern.sub(put, text)
    return text
