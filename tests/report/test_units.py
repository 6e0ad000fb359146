import pytest

from bytemlperf.metrics.estimate import Estimate
from bytemlperf.report.units import Shown, measured, number, scale, shown


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (1, "ns", "1 ns"),
        (999.5, "ns", "999.5 ns"),
        (1_000, "ns", "1.000 us"),
        (1_234_567, "ns", "1.235 ms"),
        (2_500_000_000, "ns", "2.500 s"),
        (0.0123, "s", "12.30 ms"),
        (61.5, "s", "61.50 s"),
        (0, "s", "0 s"),
        (512, "B", "512 B"),
        (3 * 2**30, "B", "3.000 GiB"),
        (12345.678, "samples/s", "12,346 samples/s"),
        (0.98123, "1", "0.9812"),
        (7.7e-5, "1", "7.7e-05"),
        (360, "queries", "360 queries"),
        (-2_000_000, "ns", "-2.000 ms"),
        (1e300, "ns", "1e+291 s"),
    ],
)
def test_a_figure_is_written_in_a_readable_unit(value, unit, expected):
    assert shown(Estimate(value=value, unit=unit)).value == expected


def test_an_interval_has_the_unit_of_its_figure():
    estimate = Estimate(value=999_000, unit="ns", low=900_000, high=1_100_000)
    assert shown(estimate) == Shown(value="999.0 us", interval="900.0 to 1,100")


@pytest.mark.parametrize(
    ("low", "high", "interval"), [(None, None, ""), (1.0, None, "from 1.000"), (None, 2.5, "up to 2.500")]
)
def test_an_open_interval_says_which_side_is_known(low, high, interval):
    assert shown(Estimate(value=1.5, unit="x", low=low, high=high)).interval == interval


def test_nothing_is_a_dash():
    assert shown(Estimate(value=None, unit="ns", low=1.0)) == Shown(value="-")


def test_numbers_keep_four_digits():
    assert [number(x) for x in (0.5, 5.0, 1e15, 1e-9, -1234.5)] == ["0.5", "5", "1e+15", "1e-09", "-1,234"]
    assert [measured(x) for x in (0.5, 999.95, 1e-9)] == ["0.5000", "1000", "1e-09"]


def test_an_unknown_unit_is_left_alone():
    assert scale("dB", 79.8) == (1.0, "dB")
