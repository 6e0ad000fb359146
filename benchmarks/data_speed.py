"""How fast data become inputs: questions, photographs and clicks, each beside a plain reference in the same run.

Everything is generated; nothing is fetched. It prints ratios, rates and, by `data_memory.py`, the growth of memory, and
asserts nothing.

    python benchmarks/data_speed.py [questions|photographs|clicks|memory]
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import data_layouts as layouts
import numpy as np
from data_memory import memory
from PIL import Image

from bytemlperf.datasets import DatasetLoader, open_dataset
from bytemlperf.spec import ModelSpec, TensorSpec
from bytemlperf.workload import DatasetRequest

WINDOWS = 10_833
QUESTIONS = 10_570
PHOTOGRAPHS = layouts.PHOTOGRAPHS
ROWS = 400_000
ROUNDS = 3


def spec_of(*inputs: TensorSpec) -> ModelSpec:
    """Return a model that takes these inputs."""
    return ModelSpec(name="model", framework="onnx", format="onnx", inputs=inputs, outputs=())


def opened(name: str, spec: ModelSpec, **options: str | int) -> DatasetLoader:
    """Open a data set."""
    return open_dataset(DatasetRequest(name=name, options=options), spec)


def best_s(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Return the shortest of several runs, in seconds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def questions(folder: Path) -> None:
    """Print how long a development set's windows take, from the file to the last input, and again from the cache."""
    layouts.write_questions(folder, QUESTIONS)
    names = ("input_ids", "attention_mask", "token_type_ids")
    spec = spec_of(*(TensorSpec(name=name, shape=("batch", 384), dtype="int64") for name in names))
    caches = iter(range(100))
    counted = []

    def work(cache: str) -> None:
        loader = opened("squad-1.1", spec, path=str(folder), cache=str(folder / cache))
        for start in range(0, len(loader), 1_024):
            loader.load(range(start, min(start + 1_024, len(loader))))
        counted.append(len(loader))

    first = best_s(lambda: work(f"cache{next(caches)}"), 2)
    again = best_s(lambda: work("cache0"), 2)
    for told, seconds in (("from the file", first), ("from the cache", again)):
        scaled = seconds * WINDOWS / counted[0]
        print(f"questions: {counted[0]:,} windows {told} in {seconds:.2f} s, {scaled:.2f} s for {WINDOWS:,}")


def plain_loop(files: list[Path]) -> None:
    """Decode and preprocess as a script would: one after the other, with pillow and numpy."""
    mean, std = (np.array(each, np.float32) for each in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    for file in files:
        image = Image.open(io.BytesIO(file.read_bytes())).convert("RGB")
        scale = 256 / min(image.size)
        image = image.resize((int(image.width * scale), int(image.height * scale)), Image.Resampling.BILINEAR)
        left, top = (image.width - 224) // 2, (image.height - 224) // 2
        image = image.crop((left, top, left + 224, top + 224))
        np.ascontiguousarray(((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1))


def photographs(folder: Path) -> None:
    """Print photographs a second, beside a plain loop, by one thread and by one for each processor."""
    names = layouts.validation_names(PHOTOGRAPHS)
    layouts.write_files([folder / name for name in names], layouts.photographs(500, 375, 92))
    layouts.write_list(folder, PHOTOGRAPHS)
    spec = spec_of(TensorSpec(name="image", shape=("batch", 3, 224, 224), dtype="float32"))
    files = sorted(folder.glob("*.JPEG"))
    plain = PHOTOGRAPHS / best_s(lambda: plain_loop(files))
    processors_here = len(os.sched_getaffinity(0))
    for workers in sorted({1, processors_here}):
        loader = open_dataset(
            DatasetRequest(name="imagenet2012", options={"path": str(folder), "workers": workers}), spec
        )
        rate = PHOTOGRAPHS / best_s(lambda loader=loader: loader.load(range(PHOTOGRAPHS)))
        print(
            f"photographs: {rate:.0f}/s by {workers} threads, {rate / plain:.2f} x the plain loop's {plain:.0f}/s, "
            f"{rate / plain / workers:.2f} x a thread"
        )


def click_spec() -> ModelSpec:
    """Return Wide & Deep's inputs."""
    return spec_of(
        TensorSpec(name="words", shape=("26*batch", 2), dtype="int64"),
        TensorSpec(name="numbers", shape=("batch", 13), dtype="float32"),
    )


def clicks(folder: Path) -> None:
    """Print rows a second from text and from the binary form, beside a bare parse by polars."""
    import polars as pl

    path = folder / "train.txt"
    layouts.write_clicks(folder, ROWS)
    bare = best_s(lambda: pl.read_csv(path, separator="\t", has_header=False))
    caches = iter(range(100))

    def from_text() -> None:
        opened("criteo", click_spec(), path=str(path), cache=str(folder / f"cache{next(caches)}"))

    text = best_s(from_text, 2)
    loader = opened("criteo", click_spec(), path=str(path), cache=str(folder / "cache0"))
    step = 16_384
    kept = best_s(lambda: [loader.load(range(start, min(start + step, ROWS))) for start in range(0, ROWS, step)])
    beside = f"{bare / text:.2f} x polars' bare parse ({ROWS / bare:,.0f} rows/s)"
    print(f"clicks: {ROWS / text:,.0f} rows/s from text, {beside}")
    print(f"clicks: {ROWS / kept:,.0f} rows/s from the binary form")


if __name__ == "__main__":
    parts: dict[str, Callable[[Path], None]] = {
        each.__name__: each for each in (questions, photographs, clicks, memory)
    }
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as place:
            parts[name](Path(place))
