import ml_dtypes
import numpy as np
import pytest

from bytemlperf.metrics import TOLERANCE, compare, tolerance_of
from bytemlperf.spec import DType, TensorSpec

SPEC = TensorSpec(name="y", shape=("batch", 256), dtype="fp32")


def network(x, layers, rounded):
    """A deep residual network whose operands are rounded; sums are those of float64."""
    for weights in layers:
        x = x + np.maximum(rounded(x) @ rounded(weights), 0)
        x /= np.abs(x).max()
    return rounded(x)


def rounding_to(dtype):
    return lambda values: values.astype(dtype).astype(np.float64)


def without_low_bits(bits):
    """float32 less some bits of mantissa: TF32 keeps 10 of 23."""
    return lambda values: (values.astype(np.float32).view(np.uint32) >> bits << bits).view(np.float32).astype(float)


@pytest.fixture(scope="module")
def layers():
    rng = np.random.default_rng(7)
    return [rng.normal(0, 256**-0.5, size=(256, 256)) for _ in range(50)]


@pytest.fixture(scope="module")
def judged(layers):
    x = np.random.default_rng(8).normal(size=(4, 256))
    reference = network(x, layers, lambda values: values)

    def judge(rounded, precision):
        return compare(
            {"y": network(x, layers, rounded)},
            {"y": reference},
            specs=(SPEC,),
            precision=precision,
            independent=True,
            reference_name="float64",
        ).passed

    return judge


@pytest.mark.parametrize(
    ("dtype", "precision"),
    [(np.float32, DType.FLOAT32), (np.float16, DType.FLOAT16), (ml_dtypes.bfloat16, DType.BFLOAT16)],
)
def test_a_deep_network_at_a_precision_is_within_its_bound_and_beyond_the_next_finer(judged, dtype, precision):
    finer = {DType.FLOAT32: DType.FLOAT64, DType.FLOAT16: DType.FLOAT32, DType.BFLOAT16: DType.FLOAT32}[precision]
    assert judged(rounding_to(dtype), precision) is True
    assert judged(rounding_to(dtype), finer) is False


def test_tf32_does_not_pass_for_float32(judged):
    assert judged(without_low_bits(13), DType.FLOAT32) is False


def test_bounds_grow_with_the_coarseness_of_the_type_and_give_their_reason():
    bounds = [TOLERANCE[dtype].value for dtype in (DType.FLOAT64, DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)]
    assert bounds == sorted(bounds)
    assert TOLERANCE[DType.FLOAT32].value == 1e-4
    assert all(tolerance.reason for tolerance in TOLERANCE.values())


@pytest.mark.parametrize("dtype", [DType.INT8, DType.INT4, DType.FLOAT8])
def test_quantised_types_have_no_bound_and_say_why(dtype):
    tolerance = tolerance_of(dtype)
    assert tolerance.value is None
    assert f"no bound follows from {dtype.value}" in tolerance.reason
