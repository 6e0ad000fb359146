import numpy as np
import pytest
from scipy import stats

from bytemlperf.errors import SpecError
from bytemlperf.metrics import Estimate, Metrics, across_processes, latency


def metrics(value, *, unit="ns", **fields):
    return Metrics({"latency/mean": Estimate(value=value, unit=unit, low=0.0, n=1000, definition="mean", **fields)})


def test_the_interval_is_students_over_processes_and_n_their_number():
    values = [9.0, 10.5, 11.0, 10.0]
    figure = across_processes([metrics(value) for value in values])["latency/mean"]
    low, high = stats.t.interval(0.95, df=3, loc=np.mean(values), scale=stats.sem(values))
    assert figure.value == np.mean(values)
    assert (figure.low, figure.high) == (pytest.approx(low), pytest.approx(high))
    assert figure.n == 4
    assert "mean over independent processes" in figure.definition
    assert figure.definition.endswith("in each process: mean")


def test_a_hand_worked_case():
    """Of 9, 10, 11: s = 1, t(2) = 4.3027, so 10 +- 4.3027 / sqrt(3)."""
    figure = across_processes([metrics(value) for value in (9, 10, 11)])["latency/mean"]
    assert (round(figure.low, 3), round(figure.high, 3)) == (7.516, 12.484)


def test_one_process_has_no_interval_and_says_why():
    figure = across_processes([metrics(7.0)])["latency/mean"]
    assert (figure.value, figure.low, figure.high, figure.n) == (7.0, None, None, 1)
    assert figure.note == "one process: how processes differ is not known"


@pytest.mark.parametrize("lacking", [Metrics(), metrics(None, note="no query was answered")])
def test_a_process_without_a_value_is_left_out_and_told(lacking):
    figure = across_processes([metrics(1.0), lacking, metrics(3.0)])["latency/mean"]
    assert (figure.value, figure.n) == (2.0, 2)
    assert "1 of 3 processes gave no value" in figure.note


def test_no_value_at_all_stays_none_with_a_note():
    figure = across_processes([metrics(None, note="no query was answered")] * 2)["latency/mean"]
    assert (figure.value, figure.low, figure.n) == (None, None, 0)
    assert figure.note == "2 of 2 processes gave no value; no query was answered"


def test_notes_of_processes_are_kept_once():
    figure = across_processes([metrics(1.0, note="too few samples")] * 3)["latency/mean"]
    assert figure.note == "too few samples"


def test_no_process_gives_no_figure():
    assert len(across_processes([])) == 0


def test_different_units_are_refused():
    with pytest.raises(SpecError, match=r"latency/mean in different units; got \['ms', 'ns'\]"):
        across_processes([metrics(1.0), metrics(1.0, unit="ms")])


def test_processes_that_differ_widen_the_interval_that_one_run_gives(make_trace, rng):
    """Each process has a level of its own: the interval within one run cannot know it, that over processes does."""
    runs = []
    for level in (1_000_000, 1_100_000, 1_200_000, 1_300_000):
        done = np.cumsum(level + rng.integers(0, 1000, size=500))
        runs.append(latency(make_trace(scheduled=np.concatenate([[0], done[:-1]]), done=done)))
    figure = across_processes(runs)["latency/mean"]
    single = runs[0]["latency/mean"]
    assert figure.high - figure.low > 100 * (single.high - single.low)
    assert figure.low < 1_150_500 < figure.high
