"""Limits of one job; every one of them becomes a typed failure, never a hang."""

from __future__ import annotations

import attrs

from bytemlperf.spec.fields import at_least, positive


@attrs.frozen(kw_only=True)
class Limits:
    """How long and how much a job may take.

    Attributes:
        compile_s: Seconds for one compile.
        step_s: Seconds for any other step (one accuracy pass, one performance row).
        query_s: Seconds from sending a query to its answer.
        total_s: Seconds for the whole job; None for no bound.
        grace_s: Seconds a worker is given to end by itself before it is killed.
        memory_bytes: Resident memory of the worker and its children; None for no bound. A reference whose weights
            would take more than half of it runs layer by layer.
        disk_bytes: Size of the run folder; None for no bound.
        max_crashes: Fresh workers started after crashes before the rest is given up.
    """

    compile_s: float = attrs.field(default=3600.0, validator=positive())
    step_s: float = attrs.field(default=3600.0, validator=positive())
    query_s: float = attrs.field(default=600.0, validator=positive())
    total_s: float | None = attrs.field(default=None, validator=positive(optional=True))
    grace_s: float = attrs.field(default=5.0, validator=positive())
    memory_bytes: int | None = attrs.field(default=None, validator=positive(optional=True))
    disk_bytes: int | None = attrs.field(default=None, validator=positive(optional=True))
    max_crashes: int = attrs.field(default=3, validator=at_least(0))
