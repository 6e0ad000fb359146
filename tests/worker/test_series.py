"""A plan that no issuer knows is refused, never issued as something else."""

from __future__ import annotations

import pytest
from tests.worker import vendors
from tests.worker.asking import ARTIFACT, NO_WARMUP, batches, watch

from bytemlperf.errors import SpecError
from bytemlperf.runner import Runner
from bytemlperf.scenarios import (
    ClosedLoop,
    ConstantRate,
    GammaArrivals,
    MultiStream,
    Offline,
    Ramp,
    Replay,
    Seeds,
    Server,
    SingleStream,
)
from bytemlperf.worker import InlineTarget, Series

NOT_ISSUED = [
    ClosedLoop(max_duration_s=1),
    ConstantRate(),
    GammaArrivals(),
    MultiStream(min_duration_s=0),
    Offline(),
    Ramp(),
    Replay(scheduled_ns=(0, 1)),
    Server(min_duration_s=0),
    SingleStream(min_duration_s=0),
]


@pytest.fixture
def target():
    made = InlineTarget(vendors.Doubling())
    made.compile(ARTIFACT, {}, watch())
    yield made
    made.close()


@pytest.mark.parametrize("scenario", NOT_ISSUED, ids=lambda each: each.kind_name)
def test_the_runner_refuses_what_is_not_issued_yet(target, scenario):
    asked = batches(4)
    with pytest.raises(SpecError, match="not issued yet"):
        Runner().run(target, scenario.plan(len(asked), Seeds()), asked)


@pytest.mark.parametrize("scenario", NOT_ISSUED, ids=lambda each: each.kind_name)
def test_so_does_every_other_way_to_issue(scenario):
    with pytest.raises(SpecError, match="not issued yet"):
        Series(plan=scenario.plan(4, Seeds()), batches=batches(4))


def test_a_closed_loop_of_a_fixed_number_of_queries_is_issued(target):
    asked = batches(4)
    plan = ClosedLoop(clients=2, queries=9, warmup=NO_WARMUP).plan(len(asked), Seeds(samples=5))
    trace = Runner().run(target, plan, asked).trace
    assert trace.answered.all()
    assert trace.batch.tolist() == plan.batch.tolist()
