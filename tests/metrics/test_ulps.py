"""Units in the last place, held against counting the numbers of a type one by one, and the curve of errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bytemlperf.metrics import compare
from bytemlperf.metrics.ulps import FLOAT_FORMATS, ulps
from bytemlperf.spec import DType, TensorSpec

TYPES = {DType.FLOAT16: np.float16, DType.FLOAT32: np.float32}


@pytest.mark.parametrize("dtype", TYPES)
@given(value=st.floats(-60000, 60000), steps=st.integers(0, 40))
def test_steps_between_neighbours_are_counted(dtype, value, steps):
    """Away from powers of two, where the spacing changes, so many steps are so many ulps."""
    kind = TYPES[dtype]
    reference = np.array([value]).astype(kind)
    output = reference.copy()
    for _ in range(steps):
        output = np.nextafter(output, kind(np.inf))
    same_binade = np.frexp(reference)[1] == np.frexp(output)[1] and reference[0] != 0
    if np.isfinite(output).all() and same_binade and abs(float(reference[0])) > 1e-4:
        found = ulps(output.astype(float) - reference.astype(float), reference.astype(float), FLOAT_FORMATS[dtype])
        assert found.tolist() == [steps]


@pytest.mark.parametrize(
    ("dtype", "smallest"), [(DType.FLOAT64, 5e-324), (DType.FLOAT32, 2.0**-149), (DType.FLOAT16, 2.0**-24)]
)
def test_below_the_normal_numbers_the_spacing_is_that_of_the_smallest(dtype, smallest):
    found = ulps(np.array([3 * smallest] * 2), np.array([0.0, smallest]), FLOAT_FORMATS[dtype])
    assert found.tolist() == [3, 3]


def test_what_is_beyond_a_double_stays_finite():
    assert np.isfinite(ulps(np.array([1e308]), np.array([0.0]), FLOAT_FORMATS[DType.FLOAT64])).all()


def judged(output, reference, **fields):
    spec = TensorSpec(name="y", shape=("batch",), dtype=fields.pop("dtype", "fp32"))
    options = {"precision": DType.FLOAT32, "independent": True, "reference_name": "exact", **fields}
    return compare({"y": output}, {"y": reference}, specs=(spec,), **options)


def test_ulps_are_those_of_the_precision_that_was_used():
    reference = np.full(1000, 1.5)
    output = reference.copy()
    output[:20] += 2.0**-10
    assert judged(output, reference, precision=DType.FLOAT16).outputs["y"].max_ulp == 1
    found = judged(output, reference).outputs["y"]
    assert (found.max_ulp, found.p50_ulp, found.ulp_type) == (2**13, 0, "float32")
    assert found.p99_ulp == pytest.approx(2**13, rel=2**-8)
    estimate = judged(output, reference).metrics["numeric/y/max_ulp"]
    assert (estimate.value, estimate.unit) == (2**13, "ulp of float32")


@pytest.mark.parametrize(("dtype", "precision"), [("int64", DType.FLOAT32), ("fp32", DType.INT8)])
def test_what_is_no_float_has_no_ulps(dtype, precision):
    values = np.array([1, 2]).astype(dtype if dtype == "int64" else "float32")
    result = judged(values, values, dtype=dtype, precision=precision)
    assert result.outputs["y"].max_ulp is None
    assert result.metrics["numeric/y/max_ulp"].note == "what was computed in has no units in the last place"


def test_the_curve_goes_from_the_smallest_error_to_the_largest(rng):
    error = np.sort(rng.exponential(size=20_000))
    found = judged(error, np.zeros(20_000)).outputs["y"]
    assert (found.curve.share[0], found.curve.share[-1]) == (0, 1)
    assert found.curve.error[-1] == found.max_abs == error[-1]
    for share, value in zip(found.curve.share[:-1], found.curve.error[:-1], strict=True):
        assert value == pytest.approx(error[min(int(20_000 * share), 19_999)], rel=2**-8)
    assert found.p999_abs == pytest.approx(error[19_980], rel=2**-8)


def test_without_positions_there_is_no_curve():
    assert judged(np.array([np.nan]), np.array([np.nan])).outputs["y"].curve.share == ()
