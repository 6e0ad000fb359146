from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bytemlperf.datasets.batching import batches, bytes_per_sample, performance_set, waves
from bytemlperf.errors import DatasetError, InputMismatchError, SpecError
from bytemlperf.sample import Forward, Generation


@pytest.fixture(name="image")
def _image(tensor):
    return tensor("image", ("batch", 2, 3))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_each_sample_is_asked_exactly_once_whatever_the_batch_size(counting, tensor, length, batch_size, data):
    loader = counting([tensor("x", ("batch", 2), "int64")], length)
    indices = data.draw(st.lists(st.integers(0, length - 1), min_size=1, unique=True))
    made = batches(loader, loader.inputs, indices, batch_size=batch_size)
    counted = made.samples[made.samples >= 0]
    assert counted.tolist() == indices
    assert made.padding.sum() == made.samples.size - len(indices) == (made.samples < 0).sum()
    assert len(made) * batch_size - made.padding.sum() == len(indices)
    rows = made.inputs["x"].reshape(-1, 2)
    expected = np.where(made.samples < 0, indices[-1], made.samples).ravel() * 1000
    np.testing.assert_array_equal(rows, np.stack([expected, expected + 1], axis=1))


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 7), st.integers(0, 200))
def test_waves_are_the_batches_in_pieces_of_bounded_size(counting, tensor, length, batch_size, max_bytes):
    loader = counting([tensor("x", ("batch", 2), "int32")], length)
    whole = batches(loader, loader.inputs, range(length), batch_size=batch_size)
    parts = list(waves(loader, loader.inputs, range(length), batch_size=batch_size, max_bytes=max_bytes))
    np.testing.assert_array_equal(np.concatenate([part.samples for part in parts]), whole.samples)
    np.testing.assert_array_equal(np.concatenate([part.padding for part in parts]), whole.padding)
    np.testing.assert_array_equal(np.concatenate([part.inputs["x"] for part in parts]), whole.inputs["x"])
    assert all(part.inputs["x"].nbytes <= max_bytes or len(part) == 1 for part in parts)


def test_padding_is_only_at_the_end_of_the_last_batch_and_is_real_data(counting, image):
    loader = counting([image], 5)
    made = batches(loader, [image], range(5), batch_size=3)
    assert made.samples.tolist() == [[0, 1, 2], [3, 4, -1]]
    assert made.padding.tolist() == [0, 1]
    np.testing.assert_array_equal(made.inputs["image"][1, 2], made.inputs["image"][1, 1])
    assert made.batch(1).padding == 1
    assert made.batch(1).size == 3


def test_a_sample_may_be_asked_more_than_once_and_is_loaded_once(counting, image):
    loader = counting([image], 5)
    made = batches(loader, [image], [3, 1, 3, 3], batch_size=2)
    assert loader.asked == [[1, 3]]
    assert made.inputs["image"][:, :, 0, 0].tolist() == [[3000, 1000], [3000, 3000]]


def test_what_is_not_kept_is_loaded_in_chunks(counting, tensor):
    spec = tensor("x", ("batch", 4), "int64")
    loader = counting([spec], 10)
    four_samples = 4 * 8 * 4
    made = batches(loader, [spec], range(9), batch_size=2, chunk_bytes=four_samples)
    assert loader.asked == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]
    assert made.inputs["x"][:, :, 0].tolist() == [[0, 1000], [2000, 3000], [4000, 5000], [6000, 7000], [8000, 8000]]


def test_every_batch_is_contiguous_in_the_engines_dtype_and_order_of_axes(counting, tensor):
    model, engine = tensor("image", ("batch", 3, 4, 4)), tensor("image", ("batch", 4, 4, 3), "float16")
    loader = counting([model], 2)
    made = batches(loader, [model], range(2), batch_size=2, engine_inputs=(engine,))
    array = made.batch(0).inputs["image"]
    assert (array.shape, array.dtype) == ((2, 4, 4, 3), np.float16)
    assert array.flags.c_contiguous
    np.testing.assert_array_equal(array, np.moveaxis(loader.load([0, 1])["image"], 1, -1).astype(np.float16))


def test_a_float_is_rounded_to_what_the_engine_takes(counting, tensor):
    model, engine = tensor("x", ("batch", 2)), tensor("x", ("batch", 2), "bfloat16")
    loader = counting([model], 1, change=lambda arrays: {"x": arrays["x"] + np.float32(0.1)})
    array = batches(loader, [model], [0], batch_size=1, engine_inputs=[engine]).inputs["x"]
    assert array.dtype == ml_dtypes.bfloat16
    np.testing.assert_allclose(array.astype(np.float32), [[[0.1, 1.1]]], rtol=2**-8)


@pytest.mark.parametrize(("model", "engine"), [("int64", "uint8"), ("float32", "int32"), ("float32", "float16")])
def test_a_value_that_the_engines_dtype_cannot_hold_names_the_tensor(counting, tensor, model, engine):
    inputs = [tensor("x", ("batch", 2), model)]
    loader = counting(inputs, 100, change=lambda arrays: {"x": (arrays["x"] * 1.01).astype(arrays["x"].dtype)})
    with pytest.raises(InputMismatchError, match="values of input 'x' do not fit") as caught:
        batches(loader, inputs, [99], batch_size=1, engine_inputs=[tensor("x", ("batch", 2), engine)])
    assert caught.value.tensor == "x"


def test_the_rows_of_an_axis_that_is_a_multiple_follow_their_sample(counting, tensor):
    inputs = [tensor("indices", ("3*batch", 2), "int64"), tensor("x", ("batch", 1), "int64")]
    loader = counting(inputs, 4)
    made = batches(loader, inputs, [2, 0, 3], batch_size=2)
    assert made.inputs["indices"].shape == (2, 6, 2)
    assert made.batch(0).inputs["indices"][:, 0].tolist() == [2000, 2002, 2004, 0, 2, 4]
    assert made.batch(1).inputs["indices"][:, 0].tolist() == [3000, 3002, 3004, 3000, 3002, 3004]
    assert made.inputs["x"][:, :, 0].tolist() == [[2000, 0], [3000, 3000]]


def test_a_batch_axis_need_not_be_the_first(counting, tensor):
    model = tensor("x", (3, "batch"), "int64")
    loader = counting([model], 4)
    made = batches(loader, [model], range(4), batch_size=2)
    assert made.batch(1).inputs["x"].tolist() == [[2000, 3000], [2001, 3001], [2002, 3002]]
    turned = batches(loader, [model], range(4), batch_size=2, engine_inputs=[tensor("x", ("batch", 3), "int64")])
    assert turned.batch(1).inputs["x"].tolist() == [[2000, 2001, 2002], [3000, 3001, 3002]]


def test_an_unbatched_input_is_one_array_for_all_batches(counting, tensor):
    inputs = [tensor("x", ("batch", 1), "int64"), tensor("text", (2, 3), "int64")]
    loader = counting(inputs, 4)
    engine = [inputs[0], tensor("text", (3, 2), "int32")]
    made = batches(loader, inputs, range(4), batch_size=1, engine_inputs=engine, chunk_bytes=1)
    assert made.inputs["text"].shape == (4, 3, 2)
    assert made.inputs["text"].strides[0] == 0
    for index in range(4):
        array = made.batch(index).inputs["text"]
        assert array.tolist() == [[0, 3], [1, 4], [2, 5]]
        assert array.flags.c_contiguous
        assert array.dtype == np.int32


def test_an_unbatched_input_that_differs_between_samples_is_refused(counting, tensor):
    inputs = [tensor("x", ("batch", 1), "int64"), tensor("text", (2, 3), "int64")]
    loader = counting(inputs, 4, change=lambda arrays: {**arrays, "text": arrays["text"] + arrays["x"].max()})
    with pytest.raises(DatasetError, match="unbatched input 'text' of data set 'counting' differs"):
        batches(loader, inputs, range(4), batch_size=1, chunk_bytes=1)


def test_a_model_without_a_batched_input_can_still_be_asked(counting, tensor):
    inputs = [tensor("text", (2,), "int64")]
    made = batches(counting(inputs, 1), inputs, [0], batch_size=1)
    assert made.batch(0).inputs["text"].tolist() == [0, 1]


def test_what_to_answer_is_kept(counting, image):
    loader = counting([image], 1)
    ask = Generation(max_new_tokens=3)
    assert batches(loader, [image], [0], batch_size=1, ask=ask).ask is ask
    assert batches(loader, [image], [0], batch_size=1).ask == Forward()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda arrays: {}, "does not give the model's inputs"),
        (lambda arrays: {**arrays, "more": arrays["x"]}, "does not give the model's inputs"),
        (lambda arrays: {"x": arrays["x"][:, :1]}, "input 'x' of data set 'counting' has another shape"),
        (lambda arrays: {"x": arrays["x"] + 5000}, "input 'x' of data set 'counting' lies outside its vocabulary"),
        (lambda arrays: {"x": arrays["x"] * 0.5}, "input 'x' of data set 'counting' is of another kind"),
    ],
)
def test_a_loader_that_does_not_fit_the_model_is_told_so(counting, tensor, change, problem):
    inputs = [tensor("x", ("batch", 2), "int64", high=5000)]
    with pytest.raises(DatasetError, match=problem):
        batches(counting(inputs, 3, change=change), inputs, range(3), batch_size=2)


@pytest.mark.parametrize("indices", [[], [0, -1], [0.5], [[0]]])
def test_indices_that_are_none_are_refused(counting, image, indices):
    with pytest.raises(SpecError, match="no samples to make batches of"):
        batches(counting([image], 3), [image], indices, batch_size=1)


def test_a_batch_has_at_least_one_sample(counting, image):
    loader = counting([image], 3)
    with pytest.raises(SpecError, match="batch size out of range; got 0"):
        batches(loader, [image], [0], batch_size=0)
    with pytest.raises(SpecError, match="batch size out of range; got 0"):
        next(waves(loader, [image], [0], batch_size=0, max_bytes=1))
    with pytest.raises(SpecError, match="batch size out of range; got 0"):
        performance_set(loader, [image], batch_size=0, max_bytes=1, max_samples=1)


def test_waves_load_nothing_before_they_are_asked_for(counting, tensor):
    spec = tensor("x", ("batch", 1), "int64")
    loader = counting([spec], 6)
    found = waves(loader, [spec], range(6), batch_size=2, max_bytes=16)
    assert loader.asked == []
    next(found)
    assert loader.asked == [[0, 1]]


def test_waves_count_the_engines_bytes(counting, tensor):
    model, engine = tensor("x", ("batch", 4)), tensor("x", ("batch", 4), "float16")
    loader = counting([model], 8)
    found = list(waves(loader, [model], range(8), batch_size=1, max_bytes=32, engine_inputs=[engine]))
    assert [len(part) for part in found] == [4, 4]


def test_no_index_makes_no_wave(counting, image):
    assert list(waves(counting([image], 3), [image], [], batch_size=2, max_bytes=100)) == []


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.tuples(st.integers(1, 40), st.integers(0, 400)))
def test_a_timed_run_goes_round_full_batches_of_distinct_samples(counting, tensor, length, size, bounds):
    most, max_bytes = bounds
    spec = tensor("x", ("batch", 1), "int64")
    made = performance_set(counting([spec], length), [spec], batch_size=size, max_bytes=max_bytes, max_samples=most)
    flat = made.samples.ravel().tolist()
    distinct = min(length, most)
    assert made.padding.sum() == 0
    assert flat == [index % distinct for index in range(len(flat))]
    assert made.inputs["x"].nbytes <= max_bytes or len(made) == 1
    if max_bytes >= 8 * (distinct + size):
        assert set(flat) == set(range(distinct))
        assert len(flat) - distinct < size


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 40))
def test_the_first_samples_are_dealt_out_over_the_batches(counting, tensor, length, size, dealt):
    spec = tensor("x", ("batch", 1), "int64")
    kept = {"batch_size": size, "max_bytes": 10**6, "max_samples": length}
    plain, made = (performance_set(counting([spec], length), [spec], **kept, dealt=each) for each in (0, dealt))
    assert sorted(made.samples.ravel()) == sorted(plain.samples.ravel())
    assert (made.samples < dealt).sum(axis=1).min() >= min(dealt, length) // len(made)


def test_a_timed_run_needs_a_sample(counting, image):
    with pytest.raises(DatasetError, match="'counting' has no sample"):
        performance_set(counting([image], 0), [image], batch_size=1, max_bytes=1, max_samples=1)
    with pytest.raises(SpecError, match="no sample is allowed"):
        performance_set(counting([image], 3), [image], batch_size=1, max_bytes=1, max_samples=0)


def test_bytes_are_counted_over_batched_inputs(tensor):
    inputs = [
        tensor("image", ("batch", 3, 4, 5), "float32"),
        tensor("indices", ("26*batch", 2), "int64"),
        tensor("text", (7, 9), "int64"),
        tensor("mask", (6, "batch"), "bool"),
        tensor("half", ("batch",), "bfloat16"),
    ]
    assert bytes_per_sample(inputs) == 3 * 4 * 5 * 4 + 26 * 2 * 8 + 6 + 2


def test_bytes_are_those_that_batches_take(counting, tensor):
    inputs = [tensor("a", ("batch", 3), "float32"), tensor("b", ("2*batch", 5), "int64")]
    made = batches(counting(inputs, 6), inputs, range(6), batch_size=3)
    assert sum(array.nbytes for array in made.inputs.values()) == 6 * bytes_per_sample(inputs)
