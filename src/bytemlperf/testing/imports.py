"""Backends that cannot even be imported, each in its own way, for tests of whoever loads backends.

They are named as any other, `bytemlperf.testing.imports:RaisingBackend`; the fault strikes when
the name is looked up, so that importing this module by itself is harmless.

- `RaisingBackend`: an ImportError, as where a vendor's library is not installed.
- `CrashingBackend`: the process dies of SIGSEGV, as where a driver does not fit.
- `ExitingBackend`: the process ends with code 3.
- `HangingBackend`: the import never returns.
"""

from __future__ import annotations

import ctypes
import os
import threading
from typing import TYPE_CHECKING, Final


def _raise() -> None:
    raise ImportError("libmychip.so.1: cannot open shared object file: No such file or directory")


def _crash() -> None:
    ctypes.string_at(0)


def _exit() -> None:
    os._exit(3)


def _hang() -> None:
    threading.Event().wait()


_FAULTS: Final = {
    "RaisingBackend": _raise,
    "CrashingBackend": _crash,
    "ExitingBackend": _exit,
    "HangingBackend": _hang,
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Strike, if that is one of the backends."""
        if name in _FAULTS:
            _FAULTS[name]()
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
