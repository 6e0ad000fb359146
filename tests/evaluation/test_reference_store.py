"""The store of reference answers: made once, shared between processes, never believed when damaged."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time

import numpy as np
import pytest

from bytemlperf.errors import HarnessError
from bytemlperf.evaluation.devicelock import hold
from bytemlperf.evaluation.store import RECORD, ReferenceStore
from bytemlperf.worker import Watch
from bytemlperf.workload import Limits

IDENTITY = {"artifact": "a" * 64, "samples": 3}


def store(folder):
    return ReferenceStore(folder=folder, lock=lambda name: hold([name], Watch(limits=Limits())))


def maker(made, value=1.0):
    def make(folder):
        made.append(folder)
        np.save(folder / "y.npy", np.full(4, value))

    return make


def test_an_entry_is_made_once_and_then_read(tmp_path):
    made = []
    homes = [store(tmp_path / "s").kept(IDENTITY, maker(made)) for _ in range(3)]
    assert len(made) == 1
    assert len(set(homes)) == 1
    assert np.load(homes[0] / "y.npy").tolist() == [1, 1, 1, 1]
    assert json.loads((homes[0] / RECORD).read_text())["identity"] == IDENTITY
    assert not made[0].exists()


def test_whatever_decides_the_answers_is_another_entry(tmp_path):
    made = []
    for identity in (IDENTITY, {**IDENTITY, "samples": 4}, {**IDENTITY, "artifact": "b" * 64}):
        store(tmp_path).kept(identity, maker(made))
    assert len(made) == 3


DAMAGES = {
    "a byte is another": lambda home: (home / "y.npy").write_bytes(
        (home / "y.npy").read_bytes()[:-1] + bytes([(home / "y.npy").read_bytes()[-1] ^ 1])
    ),
    "the end is missing": lambda home: os.truncate(home / "y.npy", 100),
    "an array is gone": lambda home: (home / "y.npy").unlink(),
    "the record is gone": lambda home: (home / RECORD).unlink(),
    "the record is none": lambda home: (home / RECORD).write_text("[]"),
    "the record names nothing": lambda home: (home / RECORD).write_text('{"files": {}}'),
    "the record is of something else": lambda home: (home / RECORD).write_text(
        (home / RECORD).read_text().replace("a" * 64, "b" * 64)
    ),
    "an array came in": lambda home: np.save(home / "y.places.npy", np.zeros(4)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_put_aside_and_made_anew(tmp_path, caplog, damage):
    made = []
    home = store(tmp_path).kept(IDENTITY, maker(made))
    DAMAGES[damage](home)
    again = store(tmp_path).kept(IDENTITY, maker(made, value=2.0))
    assert len(made) == 2
    assert np.load(again / "y.npy").tolist() == [2, 2, 2, 2]
    assert len(list((tmp_path / "quarantine").iterdir())) == 1
    assert "damaged" in caplog.text


def test_an_entry_that_was_copied_from_another_is_not_believed(tmp_path):
    made = []
    other = {**IDENTITY, "artifact": "b" * 64}
    theirs, own = (store(tmp_path / name).kept(each, maker(made)) for name, each in (("a", IDENTITY), ("s", other)))
    shutil.rmtree(own)
    shutil.copytree(theirs, own)
    assert store(tmp_path / "s").find(other) is None
    again = store(tmp_path / "s").kept(other, maker(made, value=2.0))
    assert np.load(again / "y.npy").tolist() == [2, 2, 2, 2]
    assert store(tmp_path / "s").find(other) == again


def test_an_error_while_making_leaves_no_entry(tmp_path):
    def broken(folder):
        np.save(folder / "y.npy", np.zeros(2))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store(tmp_path / "s").kept(IDENTITY, broken)
    assert list((tmp_path / "s").iterdir()) == []


def _slowly(folder):
    time.sleep(0.2)
    np.save(folder / "y.npy", np.zeros(2))
    (folder / f"made-by-{os.getpid()}").touch()


def _one(folder):
    store(folder).kept(IDENTITY, _slowly)


def test_processes_that_ask_at_once_make_one_entry(tmp_path):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_one, args=(tmp_path / "s",)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    (home,) = (tmp_path / "s").iterdir()
    assert len(list(home.glob("made-by-*"))) == 1


def test_a_store_that_cannot_be_written_says_what_to_do(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="BYTEMLPERF_CACHE"):
        store(tmp_path / "file" / "store").kept(IDENTITY, maker([]))
