from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bytemlperf import datasets
from bytemlperf.datasets import ArrayLoader, DatasetLoader, open_dataset
from bytemlperf.errors import DatasetUnavailableError, SpecError, UnknownNameError
from bytemlperf.workload import DatasetRequest


@pytest.fixture(name="spec")
def _spec(tensor, model):
    return model(tensor("image", ("batch", 1, 8, 8)))


@pytest.mark.parametrize("name", ["digits", "imagenet2012", "synthetic"])
def test_each_data_set_of_the_package_is_declared_under_its_own_name(name):
    kind = datasets.get(name)
    assert issubclass(kind, DatasetLoader)
    assert kind.name == name
    assert name in datasets.names()


def test_names_load_no_data_set():
    code = (
        "import sys; from bytemlperf import datasets; datasets.names(); "
        "assert not {'PIL', 'bytemlperf.datasets.digits', 'bytemlperf.datasets.imagenet'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_request_opens_its_data_set_with_its_options(spec):
    loader = open_dataset(DatasetRequest(name="synthetic", options={"samples": 7, "seed": 3}), spec)
    assert len(loader) == 7
    assert loader.load([0])["image"].shape == (1, 1, 8, 8)


def test_a_request_for_some_samples_gives_the_first(spec):
    loader = open_dataset(DatasetRequest(name="digits", samples=5), spec)
    assert len(loader) == 5
    assert loader.name == "digits"
    assert loader.ids([0, 4]) == ("digits/1437", "digits/1441")
    assert len(loader.calibration()) == 1437


def test_more_samples_than_there_are_are_refused(spec):
    with pytest.raises(SpecError, match=r"\$.dataset.samples.*expected 1 to 360"):
        open_dataset(DatasetRequest(name="digits", samples=361), spec)


@pytest.mark.parametrize(
    ("name", "options", "where"),
    [
        ("synthetic", {"sampels": 7}, r"\$.dataset.options.sampels\); did you mean 'samples'"),
        ("synthetic", {"samples": "7"}, r"\$.dataset.options.samples"),
        ("synthetic", {"samples": 0}, r"\$.dataset.options.samples"),
        ("digits", {"path": "x"}, r"\$.dataset.options.path"),
        ("imagenet2012", {"workers": 0}, r"\$.dataset.options.workers"),
        ("imagenet2012", {"layout": "folder"}, r"\$.dataset.options.layout.*one of auto, folders, val_map"),
    ],
)
def test_an_option_that_is_wrong_is_refused_with_its_path(spec, name, options, where):
    with pytest.raises(SpecError, match=where):
        open_dataset(DatasetRequest(name=name, options=options), spec)


def test_an_unknown_name_is_answered_with_the_nearest(spec):
    with pytest.raises(UnknownNameError, match="did you mean 'digits'"):
        open_dataset(DatasetRequest(name="digit"), spec)


def test_a_loader_that_is_given_is_fitted_to_the_model(spec):
    loader = ArrayLoader(image=np.zeros((3, 1, 8, 8), np.float32))
    assert open_dataset(loader, spec).load([1])["image"].shape == (1, 1, 8, 8)
    with pytest.raises(SpecError, match="not the inputs of model"):
        open_dataset(ArrayLoader(images=np.zeros((3, 1, 8, 8), np.float32)), spec)


def test_a_loader_that_says_nothing_of_fitting_is_taken_as_it_is(counting, spec):
    loader = counting(spec.inputs, 3)
    assert open_dataset(loader, spec) is loader


@pytest.fixture(name="declare")
def _declare(tmp_path, monkeypatch):
    def declare(reference):
        info = tmp_path / "others-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: others\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[bytemlperf.datasets]\nothers = {reference}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    return declare


def test_a_package_that_cannot_be_loaded_is_a_missing_data_set(declare, spec):
    declare("no_such_module_of_others:Others")
    with pytest.raises(DatasetUnavailableError, match=r"dataset 'others' of others 1\.0 cannot be loaded"):
        open_dataset(DatasetRequest(name="others"), spec)


def test_a_package_that_declares_something_else_is_refused(declare, spec):
    declare("collections:OrderedDict")
    with pytest.raises(SpecError, match="'others' is declared, and is no class of DatasetLoader"):
        open_dataset(DatasetRequest(name="others"), spec)
