"""Whether the machine was quiet enough for figures to be about the backend, before a run and while it runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

import attrs

from bytemlperf.environment import machine
from bytemlperf.environment.activity import Activity, Load, look
from bytemlperf.spec.fields import as_tuple, choice

SPIN_S: Final = 0.2
"""Long enough for some 20 ticks of the kernel's own accounting on each core."""
GAP_NS: Final = 1_000_000
"""A busy loop that is away for longer was held up by something: its own step takes 0.1 us."""
MOST_OTHERS: Final = 0.1
"""Share of the usable cores that other processes may use."""
MOST_LOST: Final = 0.05
"""Share of its time that a busy loop may be kept from its core."""
MOST_STOLEN: Final = 0.02
"""Share of the machine's time that its hypervisor may give to others."""


class Quiet(StrEnum):
    """What a certificate says."""

    QUIET = "quiet"
    """Nothing was seen that would disturb a measurement."""
    DISTURBED = "disturbed"
    """Something else used the machine, or its clock was held down."""
    UNKNOWN = "unknown"
    """The system tells too little."""


def _as_quiet(value: str | Quiet) -> Quiet:
    return choice(Quiet)(value)


@attrs.frozen(kw_only=True)
class NoiseCertificate:
    """How quiet the machine was in a short busy loop before the run; None where a fact cannot be read.

    Attributes:
        verdict: Whether figures can be about the backend.
        reasons: Why it is disturbed, or why it is not known.
        seconds: How long was looked.
        others_share: CPU time of other processes, as a share of the usable cores.
        lost_share: Share of its time that the loop was kept from its core.
        stolen_share: Share of the machine's time that a hypervisor gave to others.
        gaps: Times that the loop was away for over 1 ms.
        longest_gap_ns: Longest time that it was away.
        runnable: Threads that wanted a core, this one among them.
        throttled: Times that a processor was slowed for its heat, or the control group was held back, meanwhile.
        governors: Distinct frequency governors.
        clock_share: Clock of the fastest core, as a share of the highest that it can have.
        temperature_c: Hottest sensor of the processor.
    """

    verdict: Quiet = attrs.field(default=Quiet.UNKNOWN, converter=_as_quiet)
    reasons: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    seconds: float = 0.0
    others_share: float | None = None
    lost_share: float | None = None
    stolen_share: float | None = None
    gaps: int = 0
    longest_gap_ns: int = 0
    runnable: int | None = None
    throttled: int | None = None
    governors: tuple[str, ...] = attrs.field(default=(), converter=as_tuple)
    clock_share: float | None = None
    temperature_c: float | None = None

    def __str__(self) -> str:
        """Write the verdict and its reasons."""
        return f"{self.verdict}: {'; '.join(self.reasons)}" if self.reasons else str(self.verdict)


def certify(*, seconds: float = SPIN_S, root: Path = Path("/")) -> NoiseCertificate:
    """Keep one core busy for a moment, and see what kept it from being so.

    Time that this process and its children use themselves is not counted as others'.

    Args:
        seconds: How long.
        root: Where the kernel's files are.
    """
    before = look(root)
    spun = spin(seconds)
    load = before.until(look(root))
    facts = NoiseCertificate(
        seconds=spun.seconds,
        others_share=load.others_share,
        lost_share=spun.lost_share,
        stolen_share=load.stolen_share,
        gaps=spun.gaps,
        longest_gap_ns=spun.longest_gap_ns,
        runnable=machine.runnable(root),
        throttled=load.throttled,
        governors=machine.governors(root),
        clock_share=machine.clock_share(root),
        temperature_c=machine.temperature_c(root),
    )
    return judged(facts)


@attrs.frozen(kw_only=True)
class Spun:
    """What a busy loop saw.

    Attributes:
        seconds: How long it ran.
        lost_share: Share of that in which its thread did not run; None where the system does not tell.
        gaps: Times that it was away for over 1 ms.
        longest_gap_ns: Longest time that it was away.
    """

    seconds: float
    lost_share: float | None
    gaps: int
    longest_gap_ns: int


def spin(
    seconds: float,
    *,
    clock: Callable[[], int] = time.perf_counter_ns,
    busy: Callable[[], int] = time.thread_time_ns,
) -> Spun:
    """Read the clock without a pause.

    Args:
        seconds: How long.
        clock: Nanoseconds.
        busy: Nanoseconds that this thread was on a core.

    Example:
        >>> ticks = iter([0, 500_000_000, 502_000_000, 502_000_001, 1_000_000_000])
        >>> spun = spin(1.0, clock=lambda: next(ticks), busy=iter([0, 900_000_000]).__next__)
        >>> spun.gaps, spun.longest_gap_ns, round(spun.lost_share, 3)
        (3, 500000000, 0.1)
    """
    used, started = busy(), clock()
    gaps, longest, last = 0, 0, started
    while last - started < seconds * 1e9:
        now = clock()
        longest = max(longest, now - last)
        gaps += now - last > GAP_NS
        last = now
    took = last - started
    lost = max(0.0, 1 - (busy() - used) / took) if took else 0.0
    return Spun(seconds=took / 1e9, lost_share=lost, gaps=gaps, longest_gap_ns=longest)


def judged(facts: NoiseCertificate) -> NoiseCertificate:
    """Return a certificate with its verdict, and the reasons for it."""
    reasons = tuple(why for why in (_busy(facts), _lost(facts), _stolen(facts), _slowed(facts)) if why)
    if reasons:
        return attrs.evolve(facts, verdict=Quiet.DISTURBED, reasons=reasons)
    if facts.others_share is None:
        return attrs.evolve(facts, verdict=Quiet.UNKNOWN, reasons=("the load of other processes cannot be read",))
    return attrs.evolve(facts, verdict=Quiet.QUIET, reasons=())


def _busy(facts: NoiseCertificate) -> str:
    if facts.others_share is None or facts.others_share <= MOST_OTHERS:
        return ""
    return f"other processes use {100 * facts.others_share:.0f} % of the cores"


def _lost(facts: NoiseCertificate) -> str:
    if facts.lost_share is None or facts.lost_share <= MOST_LOST:
        return ""
    longest = f"for up to {facts.longest_gap_ns / 1e6:.1f} ms"
    return f"a busy loop was kept from its core for {100 * facts.lost_share:.0f} % of the time, {longest}"


def _stolen(facts: NoiseCertificate) -> str:
    if facts.stolen_share is None or facts.stolen_share <= MOST_STOLEN:
        return ""
    return f"the hypervisor gave {100 * facts.stolen_share:.0f} % of the time to others"


def _slowed(facts: NoiseCertificate) -> str:
    return f"the processor or its control group was held back {facts.throttled} times" if facts.throttled else ""


@attrs.frozen(kw_only=True)
class Disturbance:
    """What else went on while something was measured; None where it cannot be read.

    Attributes:
        load: Over the whole time.
        preempted: Times that a thread of this process or its children had to leave its core.
        waited: Times that one left it to wait.
    """

    load: Load
    preempted: int | None
    waited: int | None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why figures of that time may not be about the backend; none where it was quiet."""
        load = self.load
        facts = NoiseCertificate(
            others_share=load.others_share, stolen_share=load.stolen_share, throttled=load.throttled
        )
        found = judged(facts)
        return found.reasons if found.verdict is Quiet.DISTURBED else ()


class NoiseWatch:
    """Looks at the machine before and after something; nothing runs in between.

    Args:
        root: Where the kernel's files are.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        """Look for the first time."""
        self._root = root
        self._before: Activity = look(root, switches=True)

    def end(self) -> Disturbance:
        """Look again, and say what went on since."""
        after = look(self._root, switches=True)
        return Disturbance(
            load=self._before.until(after),
            preempted=_since(self._before.preempted, after.preempted),
            waited=_since(self._before.waited, after.waited),
        )


def _since(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(0, after - before)
