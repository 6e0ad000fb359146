"""Load patterns on the command line."""

import numpy as np
import pytest

from bytemlperf.cli.loads import read_prompts, read_scenario
from bytemlperf.errors import SpecError
from bytemlperf.report.files import write_trace
from bytemlperf.scenarios import Certainty, ClosedLoop, Offline, Replay, Server, Warmup
from bytemlperf.trace import empty
from bytemlperf.workload import Lengths, Sampling


@pytest.mark.parametrize(
    ("text", "scenario"),
    [
        ("offline", Offline()),
        ("server:target_qps=40,bound_ms=15", Server(target_qps=40, bound_ms=15)),
        ("server: target_qps = 40 , warmup.max_queries=3", Server(target_qps=40, warmup=Warmup(max_queries=3))),
        ("closed_loop:clients=2,certainty.within=0.1", ClosedLoop(clients=2, certainty=Certainty(within=0.1))),
        ("offline:whole_permutations=true", Offline(whole_permutations=True)),
    ],
)
def test_a_kind_and_its_fields_are_read(text, scenario):
    assert read_scenario(text) == scenario


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("servr", "unknown kind"),
        ("", "unknown kind"),
        ("server:target_qp=4", "did you mean 'target_qps'"),
        ("server:target_qps", "has no value"),
        ("server:target_qps=fast", "wrong type"),
        ("server:target_qps=-1", "target_qps"),
        ("replay:trace=gone.npz", "no trace"),
    ],
)
def test_what_is_none_is_refused(text, words):
    with pytest.raises(SpecError, match=words):
        read_scenario(text)


def test_a_recorded_trace_is_replayed(tmp_path):
    trace = empty(3)
    trace.scheduled_ns[:] = np.array([100, 150, 400]) + 0
    path = write_trace(tmp_path / "trace.npz", trace)
    assert read_scenario(f"replay:trace={path},stretch=2") == Replay(scheduled_ns=(100, 150, 400), stretch=2)


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        ("input=128,output=16-32,stop=2+13", Lengths(input=128, output=(16, 32), stop=(2, 13))),
        (
            "output=8,sampling.temperature=0.8,sampling.top_k=40,sampling.top_p=0.9,sampling.seed=3",
            Lengths(output=8, sampling=Sampling(temperature=0.8, top_k=40, top_p=0.9, seed=3)),
        ),
    ],
)
def test_prompts_and_draws_are_read(text, prompts):
    assert read_prompts(text) == prompts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sampling.temprature=1", "did you mean 'temperature'"),
        ("sampling.temperature=-1", "temperature"),
        ("sampling.top_k=4", "nothing is drawn"),
        ("sampling=1", "wrong type"),
    ],
)
def test_draws_that_cannot_be_are_refused(text, words):
    with pytest.raises(SpecError, match=words):
        read_prompts(text)
