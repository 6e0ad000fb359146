import math

import numpy as np
import pytest

from bytemlperf.errors import SpecError
from bytemlperf.metrics import Estimate, Metrics, merged
from bytemlperf.spec import from_json, to_json
from bytemlperf.statistics import Interval


@pytest.mark.parametrize("field", ["value", "low", "high"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_figure_that_is_no_finite_number_is_refused(field, number):
    with pytest.raises(SpecError, match=rf"not finite \(at \$\.{field}\)"):
        Estimate(**{"value": 1.0, "unit": "1", field: number})


def test_numpys_scalars_become_numbers_that_json_holds():
    estimate = Estimate(value=np.int64(3), unit="ns", low=np.float64(2.5), high=np.float32(4))
    assert [type(number) for number in (estimate.value, estimate.low, estimate.high)] == [int, float, float]
    assert from_json(Estimate, to_json(estimate)) == estimate


def test_within_takes_bounds_and_level_and_leaves_out_infinite_ends():
    estimate = Estimate(value=3.0, unit="1").within(Interval(low=1.0, high=math.inf, level=0.9))
    assert (estimate.low, estimate.high, estimate.level) == (1.0, None, 0.9)


def test_notes_are_added_once():
    assert Estimate(value=1.0, unit="1", note="a").noted("b", "", "a").note == "a; b"


def test_text_shows_value_interval_unit_and_n():
    estimate = Estimate(value=1.5, unit="ns", low=1.0, high=2.0, n=7)
    assert str(estimate) == "1.5 [1, 2] ns, n = 7"
    assert str(Estimate(value=0.5, unit="1", low=0.1, n=2)) == "0.5, n = 2"
    assert str(Estimate(value=None, unit="1", note="no samples")) == "no samples"
    assert str(Estimate(value=None, unit="1")) == "not known"


def test_an_unknown_figure_names_those_there_are():
    with pytest.raises(KeyError, match="'latency/p98'; there are latency/p99"):
        Metrics({"latency/p99": Estimate(value=1, unit="ns")})["latency/p98"]


def test_merging_keeps_the_order_and_refuses_two_figures_of_one_name():
    one, two = Estimate(value=1, unit="1"), Estimate(value=2, unit="1")
    assert list(merged([{"b": one}, {"a": two}])) == ["b", "a"]
    with pytest.raises(SpecError, match=r"same name; got \['a'\]"):
        merged([{"a": one}, {"a": two}])
