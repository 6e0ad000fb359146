"""Two backends in turn, for real: a known delay on one side."""

import json
import threading

import pytest

from bytemlperf import Interleaving, SpecError, interleave
from bytemlperf.errors import CancelledError
from bytemlperf.report import Decision
from bytemlperf.testing.backends import EchoBackend

TASK = "digits-resnet-onnx-fp32"
ECHO = "bytemlperf.testing.backends:EchoBackend"
SLEEP = "bytemlperf.testing.backends:SleepBackend"
SHORT = {"minutes": 0.001, "weights": "random", "numeric_samples": 4}


@pytest.fixture(scope="module")
def found():
    return interleave(
        TASK, a=SLEEP, b=SLEEP, a_options={"latency_us": 9000}, b_options={"latency_us": 3000}, figure="p50", **SHORT
    )


def test_a_known_delay_is_found(found):
    assert found.decision is Decision.FASTER
    assert found.low < 3 < found.high or found.speed == pytest.approx(3, rel=0.5)
    assert (found.a.isolation, found.b.isolation) == ("worker", "worker")
    assert found.a.time_ns > found.b.time_ns > 2_000_000


def test_blocks_are_balanced(found):
    assert len(found.blocks) >= 6
    assert {block.order for block in found.blocks} == {"abba", "baab"}
    assert found.units == len(found.blocks)


def test_equal_outputs_are_told(found):
    assert found.equal_outputs is True
    assert "at equal outputs; verdict: faster" in str(found)
    assert str(found).startswith("b faster by ")
    assert found.exit_code() == 0


def test_every_form_holds_the_decision(found):
    assert Interleaving.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert max(map(len, str(found).splitlines())) <= 80
    assert "verdict: faster" in found.to_markdown()
    with pytest.raises(SpecError, match="version"):
        Interleaving.from_dict({**found.to_dict(), "schema_version": "9.0"})


def test_other_outputs_are_told_and_are_no_success():
    found = interleave(TASK, a=ECHO, b="null", b_options={"zeros": True}, **SHORT)
    assert found.equal_outputs is False
    assert "at DIFFERENT outputs" in str(found)
    assert found.exit_code() == 1


def test_repeats_are_the_unit_where_they_are_asked_for():
    found = interleave(TASK, a=ECHO, b=ECHO, repeats=2, **SHORT)
    assert (found.units, found.about) == (2, "pairs of processes on this machine")
    assert {block.round for block in found.blocks} == {1, 2}


def test_an_instance_runs_in_this_process_and_that_is_said():
    found = interleave(TASK, a=EchoBackend(), b=ECHO, **SHORT)
    assert (found.a.isolation, found.b.isolation) == ("inline", "worker")
    assert "in this process" in str(found)


@pytest.mark.parametrize(
    "wrong",
    [
        {"minutes": 0},
        {"repeats": 0},
        {"figure": "p42"},
        {"level": 1.0},
        {"equivalence": -1.0},
        {"a_options": {"no": 1}},
    ],
)
def test_what_cannot_be_is_refused(wrong):
    with pytest.raises(SpecError):
        interleave(TASK, a=ECHO, b=ECHO, **{**SHORT, **wrong})


def test_a_caller_who_stops_is_heard():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        interleave(TASK, a=ECHO, b=ECHO, cancel=cancel, **SHORT)
