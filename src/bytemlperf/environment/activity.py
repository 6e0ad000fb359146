"""What a machine's processors have done so far, by whom, as the kernel counts it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

import attrs
import psutil

from bytemlperf.environment import machine

_FIELDS: Final = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
_IDLE: Final = ("idle", "iowait")


@attrs.frozen(kw_only=True)
class Load:
    """Who used the machine over some time; None where the system does not tell.

    Attributes:
        seconds: How long.
        others_share: CPU time of other processes than this and its children, as a share of the usable cores.
        stolen_share: Share of the machine's time that a hypervisor gave to others.
        throttled: Times that a processor was slowed for its heat, or the control group was held back.
    """

    seconds: float
    others_share: float | None
    stolen_share: float | None
    throttled: int | None


@attrs.frozen(kw_only=True)
class Activity:
    """Counters at one moment; they only grow.

    Attributes:
        at_s: When, monotonic.
        busy_s: CPU seconds that all processors have worked; None where not readable.
        stolen_s: Seconds that a hypervisor took; None where not readable.
        own_s: CPU seconds of this process and its children.
        cores: Hardware threads of the machine.
        throttled: Times that processors were slowed, or the control group was held back; None where not readable.
        preempted: Involuntary switches of this process and its children; None where not asked for.
        waited: Voluntary ones.
    """

    at_s: float
    busy_s: float | None
    stolen_s: float | None
    own_s: float
    cores: int
    throttled: int | None
    preempted: int | None = None
    waited: int | None = None

    def until(self, later: Activity) -> Load:
        """Return who used the machine between two moments."""
        seconds = max(later.at_s - self.at_s, 1e-9)
        room_s = seconds * self.cores
        others = stolen = None
        if self.busy_s is not None and later.busy_s is not None:
            others = max(0.0, (later.busy_s - self.busy_s) - (later.own_s - self.own_s)) / room_s
        if self.stolen_s is not None and later.stolen_s is not None:
            stolen = max(0.0, later.stolen_s - self.stolen_s) / room_s
        known = self.throttled is not None and later.throttled is not None
        return Load(
            seconds=seconds,
            others_share=others,
            stolen_share=stolen,
            throttled=max(0, (later.throttled or 0) - (self.throttled or 0)) if known else None,
        )


def look(root: Path = Path("/"), *, switches: bool = False) -> Activity:
    """Read the counters.

    Args:
        root: Where the kernel's files are.
        switches: Also count how often threads left their cores, which takes longer.
    """
    counted = machine.processor_seconds(root)
    own = _family()
    left = _switches(own) if switches else (None, None)
    return Activity(
        at_s=time.monotonic(),
        busy_s=None if counted is None else sum(counted.get(name, 0.0) for name in _FIELDS if _works(name)),
        stolen_s=None if counted is None else counted.get("steal", 0.0),
        own_s=sum(_seconds(each) for each in own),
        cores=os.cpu_count() or 1,
        throttled=machine.throttled(root),
        preempted=left[0],
        waited=left[1],
    )


def _works(name: str) -> bool:
    return name not in _IDLE and name != "steal"


def _family() -> list[psutil.Process]:
    """Return this process and all that it started and that still runs."""
    me = psutil.Process()
    try:
        return [me, *me.children(recursive=True)]
    except psutil.Error:
        return [me]


def _seconds(process: psutil.Process) -> float:
    """Return CPU seconds of a process and of its children that have ended."""
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0
    return float(
        times.user + times.system + getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    )


def _switches(processes: list[psutil.Process]) -> tuple[int | None, int | None]:
    """Count involuntary and voluntary switches of all threads; None where the system does not tell."""
    preempted = waited = 0
    for process in processes:
        for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
            fields = machine.fields_of(status)
            preempted += int(fields.get("nonvoluntary_ctxt_switches", "0"))
            waited += int(fields.get("voluntary_ctxt_switches", "0"))
    return (preempted, waited) if waited or preempted else (None, None)
