"""What is recorded of a machine, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from bytemlperf.spec import digest, to_json
from bytemlperf.spec.fields import as_dict, as_tuple, at_least

_PASSING: Final = {"host", "load_average", "timer"}
_GIB: Final = 2**30


@attrs.frozen(kw_only=True)
class Cpu:
    """The processor, and how much of it this process may use.

    Attributes:
        model: As the kernel names it; `unknown` where it does not.
        physical_cores: Cores of the machine; None where not known.
        logical_cores: Hardware threads of the machine; None where not known.
        usable_cores: Hardware threads that this process may run on.
        quota_cores: Share that a control group allows; None for no bound.
        extensions: Vector and matrix instructions that decide which kernels are taken.
        governors: Distinct frequency governors; empty where not readable.
        turbo: Whether clocks above the nominal one are allowed; None where not readable.
        smt: Whether cores are shared by several hardware threads; None where not readable.
        numa_nodes: Memory domains; None where not readable.
    """

    model: str = "unknown"
    physical_cores: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    logical_cores: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    usable_cores: int = attrs.field(default=1, validator=at_least(1))
    quota_cores: float | None = None
    extensions: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    governors: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    turbo: bool | None = None
    smt: bool | None = None
    numa_nodes: int | None = attrs.field(default=None, validator=at_least(1, optional=True))


@attrs.frozen(kw_only=True)
class Timer:
    """The clock that stamps, as measured.

    Attributes:
        clock: What `perf_counter_ns` reads (`clock_gettime(CLOCK_MONOTONIC)`).
        source: The kernel's source of time (`tsc`); None where not readable.
        resolution_ns: Smallest step that was seen; None if it never moved.
        read_ns: Nanoseconds that one reading takes, on average.
    """

    clock: str = "unknown"
    source: str | None = None
    resolution_ns: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    read_ns: float = 0.0


@attrs.frozen(kw_only=True)
class Environment:
    """The machine and the software of one run.

    Attributes:
        system: Operating system (`Linux`).
        distribution: Its distribution and version; None where not known.
        kernel: Its release.
        machine: Instruction set (`x86_64`).
        cpu: The processor.
        memory_bytes: Main memory of the machine; None where not known.
        memory_limit_bytes: What a control group allows; None for no bound.
        container: Kind of container where there are signs of one (`docker`).
        virtual: Whether a hypervisor is seen; None where not readable.
        python: Version of the interpreter.
        implementation: Which interpreter (`CPython`).
        packages: Version of bytemlperf, of every plug-in and of all that they require, by name.
        host: sha256 of the host's name, or the name where it was asked for.
        timer: The clock.
        load_average: Over 1, 5 and 15 minutes when the run began; empty where not known.
    """

    system: str = "unknown"
    distribution: str | None = None
    kernel: str = "unknown"
    machine: str = "unknown"
    cpu: Cpu = attrs.field(factory=Cpu)
    memory_bytes: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    memory_limit_bytes: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    container: str | None = None
    virtual: bool | None = None
    python: str = "unknown"
    implementation: str = "unknown"
    packages: Mapping[str, str] = attrs.field(factory=dict, converter=as_dict)
    host: str = "unknown"
    timer: Timer = attrs.field(factory=Timer)
    load_average: tuple[float, ...] = attrs.field(default=(), converter=as_tuple)

    @property
    def fingerprint(self) -> str:
        """sha256 over all that decides figures: two runs may share rows only where it is equal.

        The host's name, the load and the measured clock are left out, because they change without
        another machine; main memory counts in whole GiB, because kernels keep back a varying rest.

        Example:
            >>> Environment(host="a").fingerprint == Environment(host="b").fingerprint
            True
            >>> Environment(kernel="6.1").fingerprint == Environment(kernel="6.2").fingerprint
            False
        """
        deciding = {name: value for name, value in to_json(self).items() if name not in _PASSING}
        deciding["memory_bytes"] = None if self.memory_bytes is None else round(self.memory_bytes / _GIB)
        return digest(deciding)
