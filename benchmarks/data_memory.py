"""How much memory a sample takes before it is asked for: each data set at two sizes, each in a process of its own.

Each data set is opened, its fingerprint is taken, samples are loaded piece by piece and all labels are read: first
with nothing in the cache, then again. It prints the largest private memory (anonymous pages, looked at every
millisecond) and what each sample adds to it, beside the same of all resident memory, which the system itself tells and
which counts files that were mapped while they were read. Of two runs the smaller figure counts; still one process
differs from the next by some tenths of a MiB. It asserts nothing.

    python benchmarks/data_memory.py [KIND ...]  # questions, text, choices and so on: `KINDS`
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import attrs
import data_layouts as layouts

from bytemlperf.datasets import DatasetLoader, open_dataset
from bytemlperf.spec import ModelSpec, TensorSpec
from bytemlperf.workload import DatasetRequest

PIECES_OF_IMAGES = 24
"""Pieces that are decoded: what is held for the other images is held all the same."""
WATCHED_EVERY_S = 0.001
RUNS = 2
BESIDE = "BESIDE"
"""In an option, the folder that the data lie in."""


@attrs.frozen(kw_only=True)
class Kind:
    """A data set.

    Attributes:
        write: Writes it into a folder, of so many records.
        counts: Records, fewer and more.
        dataset: Its name.
        inputs: What a model takes.
        below: What lies below the folder, where `path` is that.
        options: How it is opened besides.
        step: Samples of a piece.
        images: Whether samples are images, of which only some pieces are decoded.
    """

    write: Callable[[Path, int], None]
    counts: tuple[int, int]
    dataset: str
    inputs: tuple[TensorSpec, ...]
    below: str = ""
    options: Mapping[str, str] = attrs.field(factory=dict)
    step: int
    images: bool = False


def tensor(name: str, *shape: str | int, dtype: str = "float32") -> TensorSpec:
    """Return an input."""
    return TensorSpec(name=name, shape=shape, dtype=dtype)


def tokens(length: int, *names: str) -> tuple[TensorSpec, ...]:
    """Return inputs of token ids."""
    return tuple(tensor(name, "batch", length, dtype="int64") for name in names)


_IMAGE = (tensor("image", "batch", 3, 224, 224),)
_PROMPTS = (*_IMAGE, tensor("text", 100, 77, dtype="int64"))
_CLICKS = (tensor("words", "26*batch", 2, dtype="int64"), tensor("numbers", "batch", 13))
_BERT = tokens(384, "input_ids", "attention_mask", "token_type_ids")
_PHOTOGRAPHS = (20_000, 80_000)
KINDS = {
    "questions": Kind(
        write=layouts.write_questions, counts=(10_000, 40_000), dataset="squad-1.1", inputs=_BERT, step=1_024
    ),
    "text": Kind(
        write=layouts.write_text, counts=(4_000, 16_000), dataset="text", inputs=tokens(256, "input_ids"), step=512
    ),
    "choices": Kind(
        write=layouts.write_choices,
        counts=(10_000, 40_000),
        dataset="multiple-choice",
        inputs=tokens(256, "input_ids"),
        below="val",
        options={"tokenizer": BESIDE},
        step=512,
    ),
    "cases": Kind(
        write=layouts.write_cases,
        counts=(3_000, 12_000),
        dataset="cail2019",
        inputs=tokens(1_024, "input_segment", "input_token"),
        options={"words": "characters"},
        step=64,
    ),
    "thumbnails": Kind(
        write=layouts.write_thumbnails,
        counts=(10_000, 40_000),
        dataset="cifar100",
        inputs=_PROMPTS,
        step=16,
        images=True,
    ),
    "photographs": Kind(
        write=layouts.write_photographs,
        counts=_PHOTOGRAPHS,
        dataset="imagenet2012",
        inputs=_IMAGE,
        step=16,
        images=True,
    ),
    "classes": Kind(
        write=layouts.write_classes,
        counts=_PHOTOGRAPHS,
        dataset="imagenet2012",
        inputs=_IMAGE,
        step=16,
        images=True,
    ),
    "archive": Kind(
        write=layouts.write_archive,
        counts=_PHOTOGRAPHS,
        dataset="imagenet2012",
        inputs=_IMAGE,
        below="val.tar",
        step=16,
        images=True,
    ),
    "objects": Kind(
        write=layouts.write_objects, counts=(10_000, 40_000), dataset="coco", inputs=_IMAGE, step=16, images=True
    ),
    "clicks": Kind(
        write=layouts.write_clicks, counts=(400_000, 1_600_000), dataset="criteo", inputs=_CLICKS, step=4_096
    ),
}


def status_bytes(name: str) -> int:
    """Return a line of what the system says of this process; what getrusage tells is inherited at the fork."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


@contextmanager
def watched() -> Iterator[list[int]]:
    """Look at the private memory again and again, and give the largest."""
    most, done = [0], threading.Event()

    def look() -> None:
        while not done.wait(WATCHED_EVERY_S):
            most[0] = max(most[0], status_bytes("RssAnon"))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def opened(kind: Kind, folder: str) -> DatasetLoader:
    """Open a data set."""
    path = str(Path(folder) / kind.below)
    options = {name: value.replace(BESIDE, folder) for name, value in kind.options.items()}
    spec = ModelSpec(name="model", framework="onnx", format="onnx", inputs=kind.inputs, outputs=())
    return open_dataset(DatasetRequest(name=kind.dataset, options={"path": path, **options}), spec)


def read_through(kind: Kind, folder: str) -> int:
    """Open a data set, take its fingerprint, load it and read its labels; return how many samples it has."""
    loader = opened(kind, folder)
    loader.fingerprint()
    total = len(loader)
    every = max(kind.step, total // PIECES_OF_IMAGES) if kind.images else kind.step
    for start in range(0, total, every):
        loader.load(range(start, min(start + kind.step, total)))
    for start in range(0, total, 256):
        loader.labels(range(start, min(start + 256, total)))
    return total


def measured_here(name: str, folder: str) -> None:
    """Read a data set through in this process and print its samples and the largest memory, private and all."""
    with watched() as most:
        total = read_through(KINDS[name], folder)
    print(json.dumps({"samples": total, "private": most[0], "resident": status_bytes("VmHWM")}))


def measured(name: str, folder: Path, cache: Path) -> dict[str, int]:
    """Do as `measured_here` does in a process of its own; threads share one arena there, or each would keep its own."""
    command = [sys.executable, __file__, "here", name, str(folder)]
    environment = {**os.environ, "BYTEMLPERF_CACHE": str(cache), "MALLOC_ARENA_MAX": "1"}
    found = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)  # noqa: S603 - this file
    return dict(json.loads(found.stdout))


def least(name: str, folder: Path, *, first: bool) -> dict[str, int]:
    """Return the smaller figures of some runs, each with nothing in the cache, or all with what one has left there."""
    found = [measured(name, folder, folder.with_name(f"{folder.name}-{run if first else 0}")) for run in range(RUNS)]
    return {each: min(run[each] for run in found) for each in found[0]}


def memory(folder: Path, names: list[str] | None = None) -> None:
    """Print the private memory of data sets at two sizes, and what a sample adds to it."""
    for name in names or KINDS:
        kind = KINDS[name]
        places = [folder / f"{name}{count}" for count in kind.counts]
        for place, count in zip(places, kind.counts, strict=True):
            kind.write(place, count)
        for form in ("first", "again"):
            fewer, more = (least(name, place, first=form == "first") for place in places)
            added = more["samples"] - fewer["samples"]
            private, resident = ((more[each] - fewer[each]) / added for each in ("private", "resident"))
            sizes = " and ".join(f"{each['private'] / 2**20:.1f}" for each in (fewer, more))
            print(
                f"memory: {name}, {form}: {sizes} MiB private for {fewer['samples']:,} and {more['samples']:,} samples,"
                f" {private:.1f} bytes for each added ({resident:.1f} of all resident memory)",
                flush=True,
            )


if __name__ == "__main__":
    if sys.argv[1:2] == ["here"]:
        measured_here(sys.argv[2], sys.argv[3])
    else:
        with tempfile.TemporaryDirectory() as temporary:
            memory(Path(temporary), sys.argv[1:])
