from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.datasets.batching import batches
from bytemlperf.datasets.synthetic import Synthetic, SyntheticOptions
from bytemlperf.errors import DatasetError, SpecError
from bytemlperf.spec import DType


def open_for(spec, samples=64, seed=0):
    return Synthetic.open(spec, SyntheticOptions(samples=samples, seed=seed))


@pytest.fixture(name="bert")
def _bert(tensor, model):
    return model(
        tensor("input_ids", ("batch", 32), "int64", valid="attention_mask", high=1000),
        tensor("attention_mask", ("batch", 32), "int64", high=2),
        tensor("token_type_ids", ("batch", 32), "int64", valid="attention_mask", high=2),
        tensor("position_ids", ("batch", 32), "int64", valid="attention_mask", high=512),
        outputs=[tensor("logits", ("batch", 32, 2), valid="attention_mask")],
    )


def test_masks_have_real_lengths(bert):
    mask = open_for(bert, 200).load(range(200))["attention_mask"]
    lengths = mask.sum(axis=1)
    np.testing.assert_array_equal(mask, np.arange(32) < lengths[:, None])
    assert lengths.min() >= 8
    assert lengths.max() == 32
    assert len(set(lengths.tolist())) > 20


def test_ids_are_real_within_the_mask_and_zero_outside(bert):
    arrays = open_for(bert).load(range(64))
    ids, valid = arrays["input_ids"], arrays["attention_mask"] == 1
    assert (ids[~valid] == 0).all()
    assert (ids[valid] >= 1).all()
    assert ids.max() < 1000
    assert all(len(set(row[row > 0].tolist())) > 5 for row in ids)
    assert len({row.tobytes() for row in ids}) == 64


def test_segments_are_zeros_and_then_ones(bert):
    arrays = open_for(bert, 100).load(range(100))
    segments, valid = arrays["token_type_ids"], arrays["attention_mask"] == 1
    assert set(np.unique(segments)) == {0, 1}
    assert (segments[~valid] == 0).all()
    assert (segments[:, 0] == 0).all()
    assert all((np.diff(row[keep]) >= 0).all() for row, keep in zip(segments, valid, strict=True))


def test_positions_count_up(bert):
    arrays = open_for(bert).load([0, 1])
    np.testing.assert_array_equal(arrays["position_ids"], np.arange(32) * arrays["attention_mask"])


@settings(deadline=None)
@given(st.integers(0, 2**40), st.lists(st.integers(0, 63), min_size=1, max_size=8), st.integers(1, 5))
def test_a_sample_depends_on_the_seed_and_its_index_alone(model, tensor, seed, indices, samples_fewer):
    spec = model(
        tensor("ids", ("batch", 6), "int32", valid="mask", high=50),
        tensor("mask", ("batch", 6), "int32"),
        tensor("x", (2, "batch")),
        tensor("indices", ("3*batch", 2), "int64", high=9),
    )
    whole = open_for(spec, 64, seed).load(range(64))
    some = open_for(spec, 64 + samples_fewer, seed).load(indices)
    np.testing.assert_array_equal(some["ids"], whole["ids"][indices])
    np.testing.assert_array_equal(some["mask"], whole["mask"][indices])
    np.testing.assert_array_equal(some["x"], whole["x"][:, indices])
    np.testing.assert_array_equal(some["indices"].reshape(-1, 3, 2), whole["indices"].reshape(-1, 3, 2)[indices])


def test_the_order_of_the_inputs_changes_no_value(bert, model):
    turned = model(*reversed(bert.inputs), outputs=bert.outputs)
    one, other = open_for(bert).load([5]), open_for(turned).load([5])
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name])


def test_two_inputs_of_one_shape_differ(tensor, model):
    arrays = open_for(model(tensor("a", ("batch", 9)), tensor("b", ("batch", 9)))).load([0])
    assert (arrays["a"] != arrays["b"]).all()


def test_another_seed_gives_other_samples(bert):
    one, other = open_for(bert, seed=1), open_for(bert, seed=2)
    assert (one.load([0])["input_ids"] != other.load([0])["input_ids"]).any()
    assert one.fingerprint() != other.fingerprint()


def test_the_fingerprint_is_that_of_the_recipe(bert, tensor, model):
    assert open_for(bert).fingerprint() == open_for(bert).fingerprint()
    assert open_for(bert).fingerprint() != open_for(bert, samples=63).fingerprint()
    other = model(tensor("x", ("batch", 3)))
    assert open_for(bert).fingerprint() != open_for(other).fingerprint()


def test_float_inputs_are_standard_normal(tensor, model):
    spec = model(tensor("x", ("batch", 3, 40, 40)), tensor("y", ("batch", 50), "float64"))
    arrays = open_for(spec).load(range(20))
    x = arrays["x"]
    assert x.dtype == np.float32
    assert arrays["y"].dtype == np.float64
    assert abs(x.mean()) < 0.02
    assert abs(x.std() - 1) < 0.02
    assert abs((x**3).mean()) < 0.05
    assert len({image.tobytes() for image in x}) == 20


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrow_floats_come_in_their_own_type(tensor, model, dtype):
    x = open_for(model(tensor("x", ("batch", 8), dtype))).load([0])["x"]
    assert x.dtype.name == dtype
    assert np.isfinite(x.astype(np.float32)).all()


def test_pixels_take_the_whole_range(tensor, model):
    arrays = open_for(model(tensor("a", ("batch", 64, 64), "uint8"), tensor("b", ("batch", 64, 64), "int8"))).load([0])
    assert (arrays["a"].min(), arrays["a"].max()) == (0, 255)
    assert (arrays["b"].min(), arrays["b"].max()) == (-128, 127)


def test_levels_stay_below_a_bound(tensor, model):
    spec = model(tensor("a", ("batch", 64), "uint8", high=4), tensor("b", ("batch", 64), "int8", high=4))
    arrays = open_for(spec).load(range(4))
    assert set(np.unique(arrays["a"])) == set(np.unique(arrays["b"])) == {0, 1, 2, 3}


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int4", "bool"])
def test_whole_numbers_without_a_bound_are_0_and_1(tensor, model, dtype):
    array = open_for(model(tensor("flags", ("batch", 40), dtype))).load(range(8))["flags"]
    assert array.dtype.name == dtype
    assert set(np.unique(array.astype(int))) == {0, 1}


@settings(deadline=None)
@given(st.tuples(st.integers(2, 4), st.integers(2, 5)), st.booleans(), st.integers(0, 10**6))
def test_ids_are_never_the_same_everywhere(tensor, model, sizes, masked, seed):
    high, length = sizes
    inputs = [tensor("ids", ("batch", length), "int64", high=high, valid="mask" if masked else None)]
    if masked:
        inputs.append(tensor("mask", ("batch", length), "int64", high=2))
    ids = open_for(model(*inputs), 8, seed).load(range(8))["ids"]
    assert all(len(set(row.tolist())) > 1 for row in ids)
    assert ids.max() < high
    assert ids.min() >= 0


def test_a_vocabulary_of_one_word_has_only_that(tensor, model):
    spec = model(tensor("ids", ("batch", 4), "int64", high=1, valid="mask"), tensor("mask", ("batch", 4), "bool"))
    assert not open_for(spec).load(range(9))["ids"].any()


def test_a_mask_that_nobody_names_is_known_by_its_name(tensor, model):
    mask = open_for(model(tensor("src_pad_mask", ("batch", 1, 16), "bool"))).load(range(50))["src_pad_mask"]
    lengths = mask[:, 0].sum(axis=1)
    assert mask.dtype == np.bool_
    np.testing.assert_array_equal(mask[:, 0], np.arange(16) < lengths[:, None])
    assert lengths.min() >= 4
    assert len(set(lengths.tolist())) > 5


def test_a_float_input_with_mask_in_its_name_is_no_mask(tensor, model):
    array = open_for(model(tensor("mask_tokens", ("batch", 8)))).load([0])["mask_tokens"]
    assert len(np.unique(array)) == 8


def test_an_input_that_an_output_names_is_a_mask_whatever_its_dtype(tensor, model):
    spec = model(tensor("keep", ("batch", 8), "float32"), outputs=[tensor("y", ("batch", 8), valid="keep")])
    keep = open_for(spec).load(range(20))["keep"]
    np.testing.assert_array_equal(keep, np.arange(8) < keep.sum(axis=1, keepdims=True))


def test_features_outside_their_mask_are_zero(tensor, model):
    spec = model(tensor("x", ("batch", 8, 3), valid="mask"), tensor("mask", ("batch", 8), "int64"))
    arrays = open_for(spec).load(range(20))
    np.testing.assert_array_equal((arrays["x"] != 0).all(axis=2), arrays["mask"] == 1)


def test_a_mask_over_other_axes_changes_nothing(tensor, model):
    spec = model(tensor("x", ("batch", 5, 3), valid="mask"), tensor("mask", ("batch", 8), "int64"))
    assert open_for(spec).load(range(9))["x"].all()


def test_a_mask_of_the_batch_alone_leaves_no_sample_out(tensor, model):
    spec = model(tensor("x", ("batch", 3), valid="mask"), tensor("mask", ("batch",), "int64"))
    assert (open_for(spec).load(range(9))["mask"] == 1).all()


def test_a_mask_of_one_position_is_valid(tensor, model):
    assert (open_for(model(tensor("mask", ("batch", 1), "int64"))).load(range(9))["mask"] == 1).all()


def test_unbatched_inputs_come_once_and_are_always_the_same(tensor, model):
    spec = model(
        tensor("image", ("batch", 2)),
        tensor("text", (3, 7), "int64", high=99, valid="text_mask"),
        tensor("text_mask", (3, 7), "int64"),
    )
    one, other = open_for(spec).load([0, 1]), open_for(spec).load([5])
    assert one["text"].shape == (3, 7)
    np.testing.assert_array_equal(one["text"], other["text"])
    np.testing.assert_array_equal(one["text"] > 0, one["text_mask"] == 1)


def test_the_rows_of_a_sample_are_drawn_each(tensor, model):
    spec = model(tensor("indices", ("26*batch", 2), "int64", high=1000), tensor("numeric", ("batch", 13)))
    arrays = open_for(spec).load([0, 1, 2])
    assert arrays["indices"].shape == (78, 2)
    assert len(np.unique(arrays["indices"], axis=0)) > 70


@settings(deadline=None)
@given(st.data())
def test_samples_fit_whatever_the_model_says(tensor, model, data):
    names = data.draw(st.lists(st.sampled_from(["ids", "a_mask", "segment_ids", "position", "x"]), unique=True))
    dtypes = st.sampled_from([each for each in DType if each not in (DType.FLOAT8, DType.STRING)])
    axes = st.integers(1, 4) | st.sampled_from(["batch", "3*batch"])
    inputs = []
    for name in ["first", *names]:
        shape = data.draw(
            st.lists(axes, min_size=1, max_size=3).filter(lambda s: sum(isinstance(a, str) for a in s) < 2)
        )
        # A mask's 1 needs a bound of two.
        inputs.append(
            tensor(
                name,
                shape,
                data.draw(dtypes),
                high=data.draw(st.none() | st.integers(2, 7)),
                valid=data.draw(st.none() | st.sampled_from(["first", *names])),
            )
        )
    loader = open_for(model(*inputs), 5)
    made = batches(loader, inputs, range(5), batch_size=2)
    assert set(made.inputs) == {"first", *names}


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ([("x", ("batch",), "str")], "cannot be prepared as arrays"),
        ([("x", ("batch", "batch"), "int64")], "no single batch axis"),
    ],
)
def test_inputs_that_cannot_be_made_are_refused_at_once(tensor, model, inputs, problem):
    with pytest.raises(SpecError, match=problem):
        open_for(model(*[tensor(*each) for each in inputs]))


def test_a_mask_that_is_no_input_is_refused(tensor, model):
    with pytest.raises(SpecError, match=r"names a mask that is no input; got \['msk'\]"):
        open_for(model(tensor("x", ("batch", 2)), outputs=[tensor("y", ("batch", 2), valid="msk")]))


@pytest.mark.parametrize("index", [-1, 64])
def test_an_index_outside_the_samples_is_refused(bert, index):
    with pytest.raises(DatasetError, match="no such sample"):
        open_for(bert).load([index])


@pytest.mark.parametrize("options", [{"samples": 0}, {"seed": -1}, {"samples": 1.5}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SpecError, match="out of range"):
        SyntheticOptions(**options)


def test_there_are_no_labels(bert):
    loader = open_for(bert)
    assert loader.labels([0, 1]) is None
    assert loader.metrics == ()
    assert len(loader) == 64


def test_a_padding_mask_ends_in_ones_and_never_begins_with_one(tensor, model):
    spec = model(tensor("src", ("batch", 3, 8)), tensor("src_pad_mask", ("batch", 32), "bool"))

    padded = open_for(spec, 200).load(range(200))["src_pad_mask"]

    assert not padded[:, 0].any()
    assert (np.diff(padded.astype(int), axis=1) >= 0).all()
    assert len(set(padded.sum(axis=1).tolist())) > 20
