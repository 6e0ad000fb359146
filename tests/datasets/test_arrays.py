from __future__ import annotations

import numpy as np
import pytest

from bytemlperf.datasets import ArrayLoader
from bytemlperf.datasets.base import DatasetOptions
from bytemlperf.datasets.batching import batches
from bytemlperf.errors import DatasetError, SpecError


@pytest.fixture(name="images")
def _images(rng):
    return rng.standard_normal((5, 3, 4)).astype(np.float32)


def test_arrays_give_samples_labels_and_metrics(images):
    loader = ArrayLoader(images=images, labels=[4, 3, 2, 1, 0], metric="top1")
    assert len(loader) == 5
    assert loader.metrics == ("top1",)
    assert loader.labels([1, 4]).tolist() == [3, 0]
    assert loader.ids([1, 4]) == ("1", "4")
    assert tuple(loader.calibration()) == ()
    np.testing.assert_array_equal(loader.load([3, 0])["images"], images[[3, 0]])


def test_labels_and_metrics_can_be_left_out(images):
    loader = ArrayLoader(images=images)
    assert loader.labels([0]) is None
    assert loader.metrics == ()


def test_several_metrics_can_be_named(images):
    assert ArrayLoader(images=images, labels=np.zeros(5), metrics=["top1", "mine"]).metrics == ("top1", "mine")


def test_two_loaders_have_metrics_of_their_own(images):
    one = ArrayLoader(images=images, labels=np.zeros(5), metric="top1")
    assert ArrayLoader(images=images).metrics == ()
    assert one.metrics == ("top1",)


def test_an_input_may_have_the_name_of_an_argument(images):
    loader = ArrayLoader({"labels": images}, labels=np.arange(5))
    assert loader.load([2])["labels"].shape == (1, 3, 4)
    assert loader.labels([2]).tolist() == [2]


def test_what_is_loaded_is_a_copy(images):
    loader = ArrayLoader(images=images)
    loader.load([0])["images"][:] = 7
    assert not (images == 7).any()


def test_a_memory_mapped_file_is_not_read_whole(tmp_path, images):
    np.save(tmp_path / "images.npy", images)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    loaded = ArrayLoader(images=mapped).load([1, 2])["images"]
    assert type(loaded) is np.ndarray
    assert not np.shares_memory(loaded, mapped)
    np.testing.assert_array_equal(loaded, images[[1, 2]])
    assert ArrayLoader(images=mapped).fingerprint() == ArrayLoader(images=images).fingerprint()


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"labels": [1]}, "there is no input"),
        ({"a": np.zeros((3, 2)), "b": np.zeros((4, 2))}, "arrays differ in length or are empty"),
        ({"a": np.zeros((4, 2)), "labels": np.zeros(2)}, "arrays differ in length or are empty"),
        ({"a": np.zeros((0, 2))}, "arrays differ in length or are empty"),
        ({"a": np.float32(3)}, "arrays differ in length or are empty"),
        ({"a": [[1, 2], [3]]}, "'a' is no array"),
        ({"a": np.array([object()])}, "'a' is no array of numbers"),
        ({"a": np.zeros(3), "metric": "top1"}, "a metric needs labels"),
        ({"a": np.zeros(3), "metrics": "top1", "labels": np.zeros(3)}, "metrics are no list"),
        ({"a": np.zeros(3), "metric": "x", "metrics": ("y",), "labels": np.zeros(3)}, "metrics are no list"),
        ({"a": np.zeros(3), "unbatched": {"a": np.zeros(3)}}, "an input is given twice"),
    ],
)
def test_arrays_that_cannot_be_a_data_set_are_refused(inputs, problem):
    with pytest.raises(SpecError, match=problem):
        ArrayLoader(**inputs)


def test_an_input_given_twice_is_refused(images):
    with pytest.raises(SpecError, match=r"given twice; got \['images'\]"):
        ArrayLoader({"images": images}, images=images)


@pytest.mark.parametrize("index", [-1, 5])
def test_an_index_outside_the_arrays_is_refused(images, index):
    loader = ArrayLoader(images=images, labels=np.arange(5))
    for ask in (loader.load, loader.labels):
        with pytest.raises(DatasetError, match="no such sample"):
            ask([index])


def test_an_array_goes_by_name_even_where_there_is_only_one(images, tensor, model):
    spec = model(tensor("pixel_values", ("batch", 3, 4)))
    with pytest.raises(SpecError, match=r"got \['images'\]; expected the names \['pixel_values'\]") as caught:
        ArrayLoader(images=images).fit(spec)
    assert "ArrayLoader(pixel_values=...)" in caught.value.remedy


@pytest.mark.parametrize(
    ("shape", "dtype"), [(("batch", 3, 5), "float32"), (("batch", 3), "float32"), (("batch", 3, 4), "int64")]
)
def test_an_array_of_another_shape_or_kind_does_not_fit(images, tensor, model, shape, dtype):
    with pytest.raises(SpecError, match=r"array 'images' does not fit .* got 'float32\[5, 3, 4\]'"):
        ArrayLoader(images=images).fit(model(tensor("images", shape, dtype)))


def test_a_loader_that_fits_gives_what_the_model_takes(images, tensor, model):
    spec = model(
        tensor("turned", (3, "batch", 4)),
        tensor("rows", ("2*batch", 3), "int64"),
        tensor("text", (2, 2), "int64"),
    )
    rows = np.arange(30).reshape(5, 2, 3)
    loader = ArrayLoader(turned=images, rows=rows, unbatched={"text": [[1, 2], [3, 4]]})
    fitted = loader.fit(spec)
    made = batches(fitted, spec.inputs, range(5), batch_size=2)
    assert fitted.load([1, 3])["rows"].tolist() == np.concatenate([rows[1], rows[3]]).tolist()
    np.testing.assert_array_equal(made.batch(1).inputs["turned"], np.moveaxis(images[2:4], 0, 1))
    assert made.batch(2).inputs["rows"].shape == (4, 3)
    assert made.batch(2).inputs["text"].tolist() == [[1, 2], [3, 4]]
    assert loader.load([0])["turned"].shape == (1, 3, 4)


@pytest.mark.parametrize(("shape", "remedy"), [((3, 4), "unbatched={...}"), (("batch", 4), "not in unbatched={...}")])
def test_a_batched_and_an_unbatched_input_are_not_the_same(tensor, model, shape, remedy):
    array = np.zeros((3, 4), np.float32)
    given = {"unbatched": {"x": array}} if "batch" in shape else {"x": array}
    loader = ArrayLoader(more=array, **given)
    with pytest.raises(SpecError, match="array 'x' is for another kind of input") as caught:
        loader.fit(model(tensor("x", shape), tensor("more", ("batch", 4))))
    assert remedy in caught.value.remedy


def test_the_fingerprint_is_that_of_the_content(images):
    same = {ArrayLoader(x=images, labels=np.arange(5)), ArrayLoader(x=images.copy(), labels=list(range(5)))}
    changed = images.copy()
    changed[4, 2, 3] += 1
    others = [
        ArrayLoader(x=changed, labels=np.arange(5)),
        ArrayLoader(y=images, labels=np.arange(5)),
        ArrayLoader(x=images, labels=np.arange(5)[::-1]),
        ArrayLoader(x=images),
        ArrayLoader(x=images.astype(np.float64), labels=np.arange(5)),
        ArrayLoader(x=images.reshape(5, 4, 3), labels=np.arange(5)),
        ArrayLoader(x=images, labels=np.arange(5), unbatched={"z": np.zeros(2)}),
        ArrayLoader(x=images, labels=np.arange(5), unbatched={"z": np.float32(1)}),
    ]
    assert len({loader.fingerprint() for loader in same}) == 1
    assert len({loader.fingerprint() for loader in [*same, *others]}) == 1 + len(others)


def test_arrays_are_not_opened_by_name(tensor, model):
    with pytest.raises(SpecError, match="not opened by name"):
        ArrayLoader.open(model(tensor("x", ("batch",))), DatasetOptions())
