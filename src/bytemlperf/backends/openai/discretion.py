"""What may be told of what a server says: not the key, which servers put into their complaints about it."""

from __future__ import annotations

from typing import Final

_MOST_READ: Final = 4_000
_MOST_TOLD: Final = 500
"""Characters of a server's complaint that are told."""
_INSTEAD: Final = "(the key)"


class Discretion:
    r"""Cuts what a server says to what a message can hold, and leaves the key out.

    Args:
        key: Empty for none.

    Example:
        >>> Discretion("s3cret").told(b"wrong key:\n s3cret!")
        'wrong key: (the key)!'
    """

    most_read = _MOST_READ

    def __init__(self, key: str) -> None:
        self._key = key

    def told(self, data: bytes) -> str:
        """Return it on one line."""
        text = data.decode(errors="replace")
        if self._key:
            text = text.replace(self._key, _INSTEAD)
        return " ".join(text.split())[:_MOST_TOLD]
