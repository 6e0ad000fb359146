"""Tell of errors as plain data: standard library only, syntax of Python 3.7."""

from __future__ import annotations

import traceback

if False:
    from typing import Any, Dict

FACTS = ("operator", "tensor", "where", "limit", "signal")
_MEMORY_TYPES = ("OutOfMemory", "ResourceExhausted")
_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "failed to allocate memory", "cannot allocate memory")


def described(error: BaseException) -> Dict[str, Any]:
    """Return an error as plain JSON data: its code where it has one, facts, message and trail."""
    code, name, message = getattr(error, "code", None), type(error).__name__, _text(error)
    facts = {fact: _fact(error, fact) for fact in FACTS}
    return dict(
        facts,
        type=name,
        message=message or name,
        code=str(code) if isinstance(code, str) else None,
        out_of_memory=isinstance(error, MemoryError)
        or any(each in name for each in _MEMORY_TYPES)
        or any(each in message.lower() for each in _MEMORY_TEXTS),
        unavailable=isinstance(error, ImportError),
        traceback=_trail(error)[-4000:],
    )


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a vendor's own __str__ may raise
        return "its text cannot be had: %s" % type(error).__name__


def _fact(error: BaseException, name: str) -> Any:
    try:
        value = getattr(error, name, None)
    except Exception:  # noqa: BLE001 - as above
        return None
    return None if value is None else _text(value)


def _trail(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - as above
        return ""
