"""What the runs of one timed row have given, a recording from each process, and the figures made of it."""

from __future__ import annotations

from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.backends import CompileInfo
from bytemlperf.environment import Disturbance
from bytemlperf.evaluation.timedanswers import DEPTH, REPLICAS, Checked
from bytemlperf.metrics import (
    Metrics,
    Validity,
    certain,
    loadgen_result,
    merged,
    performance,
    reported_figures,
    sample_times,
    score_figures,
    token_figures,
    validity,
)
from bytemlperf.report import IN_MEMORY
from bytemlperf.scenarios import ClosedLoop, MLPerfScenario, OpenLoop, Plan, Scenario
from bytemlperf.trace import Ended, Trace
from bytemlperf.worker import Recording
from bytemlperf.workload import Asked, TokenBounds

COMPARED: Final = "answers_compared"
"""Label of a row: samples whose answers were taken from the timed run and held against the reference's."""


@attrs.define(kw_only=True)
class Measured:
    """What was measured for one row, a recording from each process.

    Attributes:
        batch_size: Samples in a query.
        scenario: Load pattern.
        info: What the compiler did.
        plan: What was issued.
        asked: What the model was asked.
        bounds: What users would put up with.
        prompt_tokens: int64[batches], tokens of each prompt or text; None where outputs were asked for.
        recordings: In order; those without a single answer are left out.
        disturbances: What else went on during each.
        checked: What was found of the answers taken from each; empty where there is nothing to hold them against.
    """

    batch_size: int
    scenario: Scenario
    info: CompileInfo
    plan: Plan
    asked: Asked = Asked.FORWARD
    bounds: TokenBounds | None = None
    prompt_tokens: NDArray[np.int64] | None = None
    recordings: list[Recording] = attrs.field(factory=list)
    disturbances: list[Disturbance] = attrs.field(factory=list)
    checked: list[Checked] = attrs.field(factory=list)

    @property
    def whole(self) -> list[Recording]:
        """Recordings in which every query was answered."""
        return [each for each in self.recordings if not each.failures and bool(each.trace.answered.all())]

    @property
    def counted(self) -> list[Recording]:
        """What figures are made of: whole series only, or else what there is of one."""
        return self.whole or self.recordings[:1]

    @property
    def traces(self) -> list[Trace]:
        """Stamps of what is counted."""
        return [each.trace for each in self.counted]

    @property
    def figures(self) -> list[Metrics]:
        """Figures of each process: ours, and MLPerf's own where the scenario is one of MLPerf's."""
        return [self._figures(each) for each in self.counted]

    def _figures(self, recording: Recording) -> Metrics:
        trace, scenario = recording.trace, self.scenario
        found = [performance(trace)]
        if self.prompt_tokens is not None:
            told = self.prompt_tokens[trace.batch]
            found.append(
                token_figures(trace, prompt_tokens=told, bounds=self.bounds)
                if self.asked is Asked.GENERATE
                else score_figures(trace, tokens=told)
            )
        found.append(reported_figures(recording.reported))
        if isinstance(scenario, MLPerfScenario) and len(times := sample_times(trace)):
            found.append(loadgen_result(scenario, times))
        if isinstance(scenario, ClosedLoop | OpenLoop) and scenario.certainty is not None:
            found.append(certain(trace, scenario.certainty, self.plan.stop.looks))
        return merged(found)

    @property
    def loaded(self) -> int:
        """Samples that a plan of MLPerf's had in memory."""
        return 0 if self.plan.loaded is None else len(self.plan.loaded)

    @property
    def validity(self) -> Validity | None:
        """Judge each process by MLPerf's rules; a row counts if all of them do."""
        if not isinstance(self.scenario, MLPerfScenario):
            return None
        found = [validity(self.scenario, sample_times(trace), loaded=self.loaded) for trace in self.traces]
        return Validity(reasons=tuple({each.cause: each for one in reversed(found) for each in one.reasons}.values()))

    @property
    def passed(self) -> bool | None:
        """Whether the bounds were held, None without any; of wrong answers no figure counts."""
        if self.wrong:
            return False
        judged = self.validity
        return None if judged is None else judged.holds_bounds

    @property
    def wrong(self) -> list[str]:
        """What is wrong with answers that were taken from the runs, each said once."""
        return list(dict.fromkeys(str(each.error) for each in self.checked if each.error is not None))

    @property
    def facts(self) -> dict[str, str | int]:
        """How many samples a query had, where it is no batch; which rule ended a run; what was loaded and compared."""
        trace = self.traces[0]
        told: dict[str, str | int] = {}
        if self.scenario.by_sample:
            told["samples_per_query"] = trace.samples_per_query
        if trace.ended is not Ended.WHOLE:
            told["ended"] = trace.ended.name.lower()
        if self.plan.loaded is not None:
            told[IN_MEMORY] = self.loaded
        return {**told, **self._compared}

    @property
    def _compared(self) -> dict[str, int]:
        """How much was compared, how deep the run was, and how many replicas answered; nothing where nothing was."""
        if not self.checked:
            return {}
        replicas = frozenset[int]().union(*(each.replicas for each in self.checked))
        told = {
            COMPARED: sum(each.samples for each in self.checked),
            DEPTH: max(each.flight.most for each in self.checked),
            f"{DEPTH}_compared": min(each.depth for each in self.checked),
        }
        if len(replicas) > 1:
            compared = frozenset[int]().union(*(each.replicas_compared for each in self.checked))
            told |= {REPLICAS: len(replicas), f"{REPLICAS}_compared": len(compared)}
        return told
