"""Look at the machine once, at the beginning of a run."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bytemlperf.environment import machine
from bytemlperf.environment.environment import Cpu, Environment
from bytemlperf.environment.packages import installed, plugin_distributions
from bytemlperf.environment.timer import measure

if TYPE_CHECKING:
    from collections.abc import Iterable


def capture(*, host_name: bool = False, packages: Iterable[str] = (), root: Path = Path("/")) -> Environment:
    """Record the machine and the software.

    Nothing that could be a secret is read: no values of environment variables, no user, no
    paths; the host's name only as a digest.

    Args:
        host_name: Keep the host's name as it is.
        packages: Further distributions that figures depend on, such as a backend that no entry point declares.
        root: Where the kernel's files are.
    """
    return Environment(
        system=platform.system(),
        distribution=machine.distribution(root),
        kernel=platform.release(),
        machine=platform.machine(),
        cpu=_cpu(root),
        memory_bytes=psutil.virtual_memory().total,
        memory_limit_bytes=machine.memory_limit_bytes(root),
        container=machine.container(root),
        virtual=machine.virtual(machine.cpu_fields(root)),
        python=platform.python_version(),
        implementation=platform.python_implementation(),
        packages=installed(("bytemlperf", *plugin_distributions(), *packages)),
        host=platform.node() if host_name else hashlib.sha256(platform.node().encode()).hexdigest(),
        timer=measure(source=machine.clock_source(root)),
        load_average=_load_average(),
    )


def _cpu(root: Path) -> Cpu:
    fields = machine.cpu_fields(root)
    return Cpu(
        model=machine.cpu_model(fields),
        physical_cores=psutil.cpu_count(logical=False),
        logical_cores=psutil.cpu_count(logical=True),
        usable_cores=_usable_cores(),
        quota_cores=machine.quota_cores(root),
        extensions=machine.extensions(fields),
        governors=machine.governors(root),
        turbo=machine.turbo(root),
        smt=machine.smt(root),
        numa_nodes=machine.numa_nodes(root),
    )


def _usable_cores() -> int:
    """Count the hardware threads that this process may run on, where the system can tell."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _load_average() -> tuple[float, ...]:
    try:
        return os.getloadavg()
    except OSError:
        return ()
