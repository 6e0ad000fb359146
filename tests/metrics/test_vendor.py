import math

import pytest

from bytemlperf.errors import SpecError
from bytemlperf.metrics import vendor_figures


def test_a_vendors_figures_keep_their_names_under_one_of_their_own():
    figures = vendor_figures({"fps": 1200.0, "latency/p99": 3.5})
    assert {name: figure.value for name, figure in figures.items()} == {
        "vendor_reported/fps": 1200.0,
        "vendor_reported/latency/p99": 3.5,
    }


def test_nothing_is_claimed_of_them():
    figure = vendor_figures({"fps": 1200.0})["vendor_reported/fps"]
    assert figure.definition == "as the vendor's tool reports it; not measured by the harness"
    assert (figure.unit, figure.low, figure.high, figure.n) == ("", None, None, 0)
    assert str(figure) == "1200, n = 0"


def test_a_number_that_is_none_is_refused():
    with pytest.raises(SpecError, match="not finite"):
        vendor_figures({"fps": math.nan})
