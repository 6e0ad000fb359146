"""Ways in which a vendor's code fails, on purpose. Most of them end the process that runs them."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import attrs
import numpy as np

from bytemlperf.backends.compiled import CompileOptions
from bytemlperf.errors import SpecError, UnsupportedOperatorError
from bytemlperf.sample import Array, Outputs
from bytemlperf.spec.fields import at_least, choice, positive
from bytemlperf.testing.echo import float_output

_BLOCK: Final = 2**26
"""Bytes that the fault `memory` takes at a time."""
_PAUSE_S: Final = 0.02
"""Between two of them, so that whoever watches can see it coming."""
_MUTEX_BYTES: Final = 64
"""Room for a pthread_mutex_t, with some to spare."""


class When(StrEnum):
    """The call in which a fault strikes; `predict` is `submit` for an asynchronous backend."""

    COMPILE = "compile"
    PREDICT = "predict"
    RELEASE = "release"


class Fault(StrEnum):
    """What goes wrong."""

    EXCEPTION = "exception"
    """A RuntimeError, as vendors raise them."""
    SIGKILL = "sigkill"
    SIGSEGV = "sigsegv"
    """A read of address 0 in native code."""
    HANG = "hang"
    """Waits for ever; other threads go on."""
    HANG_GIL = "hang_gil"
    """Waits for ever in native code that keeps the interpreter's lock: no thread goes on, no signal handler runs."""
    MEMORY = "memory"
    """Takes memory until `memory_bytes`, then raises MemoryError."""
    EXIT0 = "exit0"
    """Ends the process as if all were well."""
    PRINT_TO_STDOUT = "print_to_stdout"
    """Writes what is no protocol to standard output, through Python and below it, and goes on."""
    MALFORMED = "malformed"
    """Every output lacks its last row."""
    MISSING = "missing"
    """The first output is not there."""
    NONE_ANSWER = "none_answer"
    """None instead of the outputs."""
    WRONG_DTYPE = "wrong_dtype"
    """Whole numbers where the spec has fractions, and the other way round."""
    NAN = "nan"
    """One element of the first floating-point output is NaN."""
    SLOW_COMPILE = "slow_compile"
    """`compile` takes `delay_s` longer."""
    COMPILE_EXCEPTION = "compile_exception"
    """A RuntimeError in `compile`."""
    UNSUPPORTED_OPERATOR = "unsupported_operator"
    """An UnsupportedOperatorError in `compile` that names `Einsum`."""
    CRASH_AT_EXIT = "crash_at_exit"
    """All goes well until the process ends, and then it dies of SIGSEGV."""
    NEVER_REPLY = "never_reply"
    """`submit` returns and nothing follows."""
    DOUBLE_DONE = "double_done"
    """`done` is called twice."""
    FAIL = "fail"
    """The reply fails with a RuntimeError."""


ANSWERS: Final = frozenset({Fault.MALFORMED, Fault.MISSING, Fault.NONE_ANSWER, Fault.WRONG_DTYPE, Fault.NAN})
"""Faults of an answer, not of the process."""
REPLIES: Final = frozenset({Fault.NEVER_REPLY, Fault.DOUBLE_DONE, Fault.FAIL})
"""Faults that only an asynchronous backend can have."""
COMPILES: Final = frozenset(
    {Fault.SLOW_COMPILE, Fault.COMPILE_EXCEPTION, Fault.UNSUPPORTED_OPERATOR, Fault.CRASH_AT_EXIT}
)
"""Faults that are prepared or strike in `compile` and nowhere else."""


def _fault(value: str | Fault) -> Fault:
    return choice(Fault)(value)


def _when(value: str | When | None) -> When | None:
    return None if value is None else choice(When)(value)


@attrs.frozen(kw_only=True)
class FaultyOptions(CompileOptions):
    """What a faulty backend is asked to do wrong.

    Attributes:
        fault: What goes wrong.
        when: In which call; None for the fault's natural one (`predict` for most).
        after: Queries that are answered well before it strikes; it strikes in every query from then on.
        delay_s: What `slow_compile` adds.
        memory_bytes: What `memory` takes at most, so that a forgotten limit does not take the machine.
    """

    fault: Fault = attrs.field(default=Fault.EXCEPTION, converter=_fault)
    when: When | None = attrs.field(default=None, converter=_when)
    after: int = attrs.field(default=0, validator=at_least(0))
    delay_s: float = attrs.field(default=1.0, validator=positive())
    memory_bytes: int = attrs.field(default=2**32, validator=at_least(1))

    @when.validator
    def _fits_the_fault(self, _: attrs.Attribute[When | None], value: When | None) -> None:
        possible = _moments(self.fault)
        if value is not None and value not in possible:
            raise SpecError(
                f"the fault {self.fault.value!r} cannot strike then",
                where="$.when",
                got=value.value,
                expected="one of " + ", ".join(possible),
            )

    @property
    def moment(self) -> When:
        """The call in which the fault strikes."""
        return self.when or _moments(self.fault)[0]


def _moments(fault: Fault) -> tuple[When, ...]:
    """Return the calls in which a fault can strike, the natural one first."""
    if fault in COMPILES:
        return (When.COMPILE,)
    if fault in ANSWERS or fault in REPLIES:
        return (When.PREDICT,)
    return (When.PREDICT, When.COMPILE, When.RELEASE)


def strike(options: FaultyOptions) -> None:
    """Do what the fault says; returns only for those after which a backend goes on.

    Raises:
        RuntimeError: For `exception` and `compile_exception`.
        UnsupportedOperatorError: For `unsupported_operator`.
        MemoryError: For `memory`, if nobody has ended the process before.
    """
    if options.fault is Fault.MEMORY:
        _take_memory(options.memory_bytes)
    elif options.fault is Fault.SLOW_COMPILE:
        time.sleep(options.delay_s)
    else:
        _STRIKES[options.fault]()


def spoil(outputs: Mapping[str, Array], fault: Fault) -> Outputs:
    """Return an answer with the fault in it; the good one is left alone.

    For `none_answer` that is None, against all types.
    """
    if fault is Fault.MALFORMED:
        return {name: array[:-1] if array.ndim else array[None] for name, array in outputs.items()}
    if fault is Fault.MISSING:
        return dict(list(outputs.items())[1:])
    if fault is Fault.WRONG_DTYPE:
        return {
            name: array.astype(np.int32 if array.dtype.kind == "f" else np.float32) for name, array in outputs.items()
        }
    if fault is Fault.NAN:
        return _with_nan(outputs)
    return None  # type: ignore[return-value]  # that is the fault


def _with_nan(outputs: Mapping[str, Array]) -> Outputs:
    name = float_output(outputs)
    if name is None:
        raise RuntimeError("no output can hold a NaN")
    spoilt = outputs[name].copy()
    spoilt.flat[0] = np.nan
    return {**outputs, name: spoilt}


def _raise() -> None:
    raise RuntimeError("injected fault")


def _refuse() -> None:
    error = UnsupportedOperatorError("injected fault: no kernel")
    error.operator = "Einsum"
    raise error


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    threading.Event().wait()


def _hang_with_lock() -> None:
    libc = ctypes.PyDLL(None)  # unlike CDLL, it keeps the interpreter's lock during the call
    mutex = ctypes.create_string_buffer(_MUTEX_BYTES)  # all zeros: a new pthread_mutex_t of glibc and musl
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)  # waits for itself; unlike a sleep, no signal wakes it


def _exit() -> None:
    os._exit(0)


def _crash_at_exit() -> None:
    atexit.register(_segfault)


def _print() -> None:
    sys.stdout.write('{"vendor": "hello", "progress": 0.5}\nnot JSON at all \x00 {\n')
    sys.stdout.flush()
    os.write(1, b"and from below Python\xff\n")


def _take_memory(bound: int) -> None:
    taken: list[Array] = []
    while len(taken) * _BLOCK < bound:
        taken.append(np.ones(_BLOCK, np.uint8))
        time.sleep(_PAUSE_S)
    raise MemoryError(f"injected fault: {len(taken) * _BLOCK} bytes were taken and nobody minded")


_STRIKES: Final = {
    Fault.EXCEPTION: _raise,
    Fault.COMPILE_EXCEPTION: _raise,
    Fault.UNSUPPORTED_OPERATOR: _refuse,
    Fault.SIGKILL: _kill,
    Fault.SIGSEGV: _segfault,
    Fault.HANG: _hang,
    Fault.HANG_GIL: _hang_with_lock,
    Fault.EXIT0: _exit,
    Fault.PRINT_TO_STDOUT: _print,
    Fault.CRASH_AT_EXIT: _crash_at_exit,
}
