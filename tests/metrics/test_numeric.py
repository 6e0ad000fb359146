import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bytemlperf.errors import MalformedOutputError, NonFiniteError, NumericMismatchError, SpecError
from bytemlperf.metrics import NumericState, bytemlperf_diff, compare
from bytemlperf.spec import DType, TensorSpec, from_json, to_json

nan, inf = math.nan, math.inf


def spec(name="y", *, dtype="fp32", valid=None):
    return TensorSpec(name=name, shape=("batch", 4), dtype=dtype, valid=valid)


def judge(output, reference, *, dtype="fp32", precision=DType.FLOAT32, independent=True, **options):
    return compare(
        {"y": np.asarray(output)},
        {"y": np.asarray(reference)},
        specs=(spec(dtype=dtype),),
        precision=precision,
        independent=independent,
        reference_name="float64",
        **options,
    )


def test_a_hand_worked_case():
    """d is 0.5, 0, -1: its mean 0.5, its squares 1.25; the reference's largest is 4, its mean 2, its squares 18."""
    found = judge([1.5, 1.0, 3.0], [1.0, 1.0, 4.0]).outputs["y"]
    assert (found.n, found.max_abs, found.mean_abs, found.max_rel, found.mean_rel) == (3, 1.0, 0.5, 0.25, 0.25)
    assert found.std_abs == pytest.approx(math.sqrt(1 / 6))
    assert found.sqnr_db == pytest.approx(10 * math.log10(18 / 1.25))
    assert found.cosine == pytest.approx((1.5 + 1 + 12) / math.sqrt(12.25 * 18))
    assert (found.p50_abs, found.p99_abs) == (pytest.approx(0.5, rel=2**-8), 1.0)


@given(data=st.data(), n=st.integers(1, 40))
def test_figures_agree_with_plain_numpy_in_float64(data, n):
    elements = st.integers(-1000, 1000).map(lambda number: number / 7)
    output, reference = (data.draw(hnp.arrays(np.float32, (n, 4), elements=elements.map(np.float32))) for _ in "ab")
    found = judge(output, reference).outputs["y"]
    left, right = output.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
    d = np.abs(left - right)
    assert found.n == d.size
    assert (found.max_abs, found.mean_abs, found.std_abs) == pytest.approx((d.max(), d.mean(), d.std()), abs=1e-9)
    for name, p in (("p50_abs", 0.5), ("p90_abs", 0.9), ("p99_abs", 0.99)):
        assert getattr(found, name) == pytest.approx(np.sort(d)[int(d.size * p)], rel=2**-8)
    if right.any():
        assert found.max_rel == pytest.approx(d.max() / np.abs(right).max())
        assert found.mean_rel == pytest.approx(d.mean() / np.abs(right).mean())
    if left.any() and right.any():
        assert found.cosine == pytest.approx(left @ right / np.linalg.norm(left) / np.linalg.norm(right), abs=1e-12)
    if d.any() and right.any():
        assert found.sqnr_db == pytest.approx(10 * np.log10(np.sum(right**2) / np.sum(d**2)))
    for histogram, values in ((found.difference, left - right), (found.reference, right), (found.output, left)):
        counts, _ = np.histogram(values, bins=np.array(histogram.edges))
        assert tuple(counts) == histogram.counts


def test_figures_of_float32_outputs_are_those_of_exact_arithmetic(rng):
    """Sums in float32 would lose the small differences of large numbers."""
    reference = (1e4 + rng.normal(size=3000)).astype(np.float32)
    output = np.nextafter(reference, np.float32(inf))
    found = judge(output, reference).outputs["y"]
    exact = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(output, reference, strict=True)]
    assert found.mean_abs == pytest.approx(float(sum(exact) / 3000), rel=1e-14)
    power = sum(Fraction(float(b)) ** 2 for b in reference)
    assert found.sqnr_db == pytest.approx(10 * math.log10(power / sum(d * d for d in exact)), rel=1e-12)


@pytest.mark.parametrize(
    ("error", "precision", "passed"),
    [
        (0.9e-4, DType.FLOAT32, True),
        (1.1e-4, DType.FLOAT32, False),
        (0.9 * 2**-7, DType.FLOAT16, True),
        (1.1 * 2**-7, DType.FLOAT16, False),
        (0.9 * 2**-4, DType.BFLOAT16, True),
        (1.1 * 2**-4, DType.BFLOAT16, False),
        (1e-12, DType.FLOAT64, False),
        (0.5, DType.INT8, None),
    ],
)
def test_the_verdict_is_the_largest_difference_over_the_largest_reference(error, precision, passed):
    reference = np.array([[8.0, -1.0, 1e-9, 0.0]])
    result = judge(reference + np.array([0, 0, 8 * error, 0]), reference, precision=precision)
    assert result.passed is passed
    assert result.outputs["y"].passed is passed
    assert bool(result.reasons) is (passed is not True)


def test_a_failure_says_how_far_and_becomes_an_error_with_its_tensor():
    result = judge([1.0, 2.5], [1.0, 2.0])
    assert result.reasons == ("y: max|d| / max|reference| is 0.25, above 0.0001",)
    error = result.error()
    assert isinstance(error, NumericMismatchError)
    assert error.tensor == "y"
    assert "do not agree with float64" in str(error)
    assert judge([1.0], [1.0]).error() is None


def test_a_given_tolerance_stands_in_the_place_of_the_tables():
    assert judge([1.0, 2.5], [1.0, 2.0], tolerance=0.25).passed is True
    assert judge([1.0, 2.5], [1.0, 2.0], tolerance=0.25, precision=DType.INT8).passed is True
    assert judge([1.0, 2.0 + 1e-6], [1.0, 2.0], tolerance=0.0).passed is False


@pytest.mark.parametrize("tolerance", [-1.0, nan, inf])
def test_a_tolerance_that_is_none_is_refused(tolerance):
    with pytest.raises(SpecError, match=r"\$.tolerance"):
        judge([1.0], [1.0], tolerance=tolerance)


def test_the_reference_cannot_be_finer_than_it_was_made():
    """A float64 engine differs from a float32 twin by the twin's own rounding."""
    output, reference = np.array([1.0, 3.0]), np.array([1.0, 3.0 * (1 + 1e-6)])
    assert judge(output, reference.astype(np.float32), precision=DType.FLOAT64).passed is True
    assert judge(output, reference, precision=DType.FLOAT64).passed is False


def test_a_runtime_compared_with_itself_gets_no_verdict_and_is_labelled():
    for output in ([1.0, 2.0], [1.0, nan]):
        result = judge(output, [1.0, 2.0], independent=False)
        assert result.passed is result.outputs["y"].passed is result.error() is None
        assert result.reasons == ("the reference is the same runtime: no verdict",)
        assert result.metrics["numeric/y/max_rel"].note == "the reference is the same runtime: no verdict"


@pytest.mark.parametrize("planted", [nan, inf, -inf])
def test_one_planted_value_fails(planted, rng):
    reference = rng.normal(size=(50, 4))
    output = reference.copy()
    output[31, 2] = planted
    result = judge(output, reference)
    assert result.passed is False
    assert result.reasons == ("y: 1 values are NaN or infinite where the reference is finite",)
    assert isinstance(result.error(), NonFiniteError)
    found = result.outputs["y"]
    assert (found.n, found.max_abs) == (199, 0.0)
    assert (found.non_finite.nan, found.non_finite.inf) == (int(math.isnan(planted)), int(math.isinf(planted)))


@pytest.mark.parametrize("reference", [nan, inf, -inf])
@pytest.mark.parametrize("output", [0.0, nan, inf, -inf])
def test_a_reference_that_is_no_number_must_be_matched(output, reference):
    result = judge([1.0, output], [1.0, reference])
    same = output == reference or (math.isnan(output) and math.isnan(reference))
    assert result.passed is same
    counted = result.outputs["y"].non_finite
    assert counted.reference_nan + counted.reference_inf == 1
    assert (counted.unmatched, counted.planted, counted.positions) == (int(not same), 0, 1)
    if not same:
        assert result.reasons == ("y: 1 values do not match a reference that is NaN or infinite",)
        assert isinstance(result.error(), NumericMismatchError)


def test_where_nothing_is_finite_nothing_is_judged():
    result = judge([nan, nan], [nan, nan])
    assert result.passed is None
    assert result.reasons == ("y: no position is finite on both sides",)
    figure = result.metrics["numeric/y/max_abs"]
    assert (figure.value, figure.note) == (None, "no position is finite on both sides")


def test_a_reference_of_nothing_but_zeros_is_met_only_by_zeros():
    assert judge([0.0, 0.0], [0.0, 0.0]).passed is True
    result = judge([0.0, 1e-30], [0.0, 0.0])
    assert result.passed is False
    assert result.reasons == ("y: the reference is all 0 and the output is up to 1e-30 away",)
    figures = result.metrics
    assert figures["numeric/y/max_rel"].value is None
    assert (
        figures["numeric/y/max_rel"].note == "the reference is all 0 and the output is not; failed at a bound of 0.0001"
    )
    assert figures["numeric/y/cosine"].note == "output or reference is all 0"


def test_equal_outputs_have_no_noise():
    figures = judge([1.0, -2.0], [1.0, -2.0]).metrics
    assert figures["numeric/y/sqnr_db"].value is None
    assert "equal" in figures["numeric/y/sqnr_db"].note
    assert figures["numeric/y/cosine"].value == pytest.approx(1, abs=1e-15)
    assert figures["numeric/y/max_rel"].value == 0


def test_whole_numbers_must_be_equal_whatever_the_precision():
    ids = np.array([[3, 5, 100_000, 7]])
    assert judge(ids, ids, dtype="int64", precision=DType.BFLOAT16).passed is True
    assert judge(ids + np.array([0, 0, 1, 0]), ids, dtype="int64", precision=DType.BFLOAT16).passed is False


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_large_whole_numbers_that_are_one_double_still_differ(dtype):
    """As doubles 2**62 and 2**62 + 1 are the same number."""
    found = judge(np.array([2**62 + 1], dtype), np.array([2**62], dtype), dtype="int64").outputs["y"]
    assert (found.max_abs, found.passed) == (1.0, False)


def test_whole_numbers_of_different_types_and_signs_are_subtracted_right():
    found = judge(np.array([-128, 127], np.int8), np.array([127, -128], np.int64), dtype="int8").outputs["y"]
    assert (found.max_abs, found.p50_abs) == (255.0, pytest.approx(255, rel=2**-8))
    assert found.difference.low <= -255
    far = judge(np.array([2**63 - 1]), np.array([-(2**63)]), dtype="int64").outputs["y"]
    assert far.max_abs == 2.0**64
    flags = judge(np.array([True, False]), np.array([True, True]), dtype="bool").outputs["y"]
    assert (flags.max_abs, flags.mean_abs) == (1.0, 0.5)


def test_only_positions_that_the_mask_marks_count():
    """What lies in padding is undefined, even NaN."""
    output = np.array([[1.0, 2.0, 99.0, nan], [1.0, nan, inf, -99.0]])
    reference = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, nan, 1.0, 2.0]])
    result = compare(
        {"y": output},
        {"y": reference},
        specs=(spec(valid="mask"),),
        precision=DType.FLOAT32,
        valid={"mask": np.array([[1, 1, 0, 0], [1, 0, 0, 0]])},
        independent=True,
        reference_name="twin",
    )
    found = result.outputs["y"]
    assert (result.passed, found.n, found.left_out, found.max_abs) == (True, 3, 5, 0.0)
    assert found.non_finite.nan == found.non_finite.inf == 0
    assert result.bytemlperf["Max Diff"] == 0


def test_masked_positions_are_zero_on_both_sides_for_bytemlperfs_figures():
    found = compare(
        {"y": np.array([[1.5, 7.0, 7.0, 7.0]])},
        {"y": np.array([[1.0, 3.0, 3.0, 3.0]])},
        specs=(spec(valid="mask"),),
        precision=DType.FLOAT32,
        valid={"mask": np.array([[1, 0, 0, 0]])},
        independent=True,
        reference_name="twin",
    )
    assert found.bytemlperf["Mean Diff"] == 0.125


@given(cuts=st.lists(st.integers(0, 40), max_size=5))
def test_batches_give_the_figures_of_the_whole(cuts):
    rng = np.random.default_rng(3)
    reference = {"a": rng.normal(size=(40, 5)), "b": rng.normal(size=(40, 2)) * 100}
    outputs = {name: array + rng.normal(size=array.shape) * 1e-3 for name, array in reference.items()}
    outputs["b"][7, 1] = nan
    options = {"precision": DType.FLOAT32, "independent": True, "reference_name": "twin"}
    state = NumericState(specs=(spec("a"), spec("b")), **options)
    for rows in np.split(np.arange(40), sorted(cuts)):
        state.update(*({name: array[rows] for name, array in side.items()} for side in (outputs, reference)))
    whole = compare(outputs, reference, specs=(spec("a"), spec("b")), **options)
    parts = state.compute()
    assert (parts.passed, parts.reasons) == (whole.passed, whole.reasons)
    for name in "ab":
        assert parts.outputs[name].difference == whole.outputs[name].difference
        assert parts.outputs[name].non_finite == whole.outputs[name].non_finite
    for name, figure in whole.metrics.items():
        assert parts.metrics[name].value == pytest.approx(figure.value, rel=1e-12)
    assert parts.bytemlperf == pytest.approx(whole.bytemlperf, abs=1.1e-5)
    assert whole.bytemlperf == pytest.approx(bytemlperf_diff(outputs, reference))


def test_what_is_kept_does_not_grow_and_outputs_larger_than_a_chunk_are_whole(rng):
    reference = rng.normal(size=600_000).astype(np.float32)
    output = reference + np.float32(1e-3)
    output[-1] += 1
    found = judge(output, reference).outputs["y"]
    d = np.abs(output.astype(np.float64) - reference)
    assert (found.n, found.max_abs) == (600_000, d.max())
    assert (found.mean_abs, found.std_abs) == (pytest.approx(d.mean()), pytest.approx(d.std()))
    assert sum(found.difference.counts) == 600_000


def test_a_batch_that_does_not_fit_is_not_half_taken_in():
    state = NumericState(specs=(spec("a"), spec("b")), precision=DType.FLOAT32, independent=True, reference_name="twin")
    right = {"a": np.ones((1, 4)), "b": np.ones((1, 4))}
    state.update(right, right)
    before = state.compute()
    with pytest.raises(MalformedOutputError, match="'b' has another shape"):
        state.update({"a": np.ones((1, 4)), "b": np.ones((1, 5))}, right)
    assert state.compute() == before


def test_outputs_are_matched_by_name_and_each_is_judged():
    outputs = {"b": np.full((1, 4), 1e6), "a": np.ones((1, 4))}
    reference = {"a": np.ones((1, 4)) * 1.5, "b": np.full((1, 4), 1e6)}
    result = compare(
        outputs,
        reference,
        specs=(spec("a"), spec("b")),
        precision=DType.FLOAT32,
        independent=True,
        reference_name="twin",
    )
    assert {name: found.passed for name, found in result.outputs.items()} == {"a": False, "b": True}
    assert result.passed is False
    assert result.error().tensor == "a"


def test_missing_outputs_are_refused_and_none_at_all_is_no_verdict():
    with pytest.raises(MalformedOutputError, match="no output 'y'"):
        compare(
            {}, {"y": np.ones(1)}, specs=(spec(),), precision=DType.FLOAT32, independent=True, reference_name="twin"
        )
    nothing = compare({}, {}, specs=(), precision=DType.FLOAT32, independent=True, reference_name="twin")
    assert (nothing.passed, nothing.reasons) == (None, ("there is no output to compare",))


def test_every_figure_is_an_estimate_with_its_formula_and_reference():
    figures = judge([1.0, 2.5, nan], [1.0, 2.0, 3.0]).metrics
    assert figures["numeric/y/max_rel"].value == 0.25
    assert figures["numeric/y/max_rel"].note == "failed at a bound of 0.0001"
    assert "max|d| / max|reference|; d = output - reference (float64)" in figures["numeric/y/max_rel"].definition
    assert (figures["numeric/y/nan"].value, figures["numeric/y/nan"].n) == (1, 3)
    assert figures["numeric/y/max_abs"].n == 2
    assert figures["numeric/y/sqnr_db"].unit == "dB"
    assert all(figure.definition for figure in figures.values())


def test_a_result_is_json_and_back():
    result = judge([1.0, 2.5], [1.0, 2.0])
    assert from_json(type(result), to_json(result)) == result


@given(
    output=hnp.arrays(np.float64, 6, elements=st.floats()),
    reference=hnp.arrays(np.float64, 6, elements=st.floats()),
)
def test_any_doubles_give_finite_figures_or_none_with_a_note(output, reference):
    result = judge(output, reference)
    for figure in result.metrics.values():
        assert figure.value is not None or figure.note
    same = np.isclose(output, reference, rtol=0, atol=0, equal_nan=True)
    if result.passed:
        both = np.isfinite(output) & np.isfinite(reference)
        assert same[~both].all()
        assert np.abs(output[both] - reference[both]).max() <= 1.0001e-4 * np.abs(reference[both]).max()
