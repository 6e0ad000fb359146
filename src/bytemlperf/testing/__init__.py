"""What authors of backends import in their tests: fakes that answer, fail and wait as they are told, and an oracle."""

from bytemlperf.testing.backends import (
    AsyncSleepBackend,
    EchoBackend,
    FaultyAsyncBackend,
    FaultyBackend,
    SleepBackend,
    SleepOptions,
)
from bytemlperf.testing.cheats import (
    CachingBackend,
    CachingOptions,
    CheapBackend,
    MiscountingBackend,
    MiscountingOptions,
)
from bytemlperf.testing.echo import echo
from bytemlperf.testing.faults import Fault, FaultyOptions, When
from bytemlperf.testing.oracle import OracleBackend, OracleOptions
from bytemlperf.testing.oracle_answers import BoxError

__all__ = [
    "AsyncSleepBackend",
    "BoxError",
    "CachingBackend",
    "CachingOptions",
    "CheapBackend",
    "EchoBackend",
    "Fault",
    "FaultyAsyncBackend",
    "FaultyBackend",
    "FaultyOptions",
    "MiscountingBackend",
    "MiscountingOptions",
    "OracleBackend",
    "OracleOptions",
    "SleepBackend",
    "SleepOptions",
    "When",
    "echo",
]
