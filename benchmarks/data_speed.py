"""How fast data become inputs: questions, photographs and clicks, each beside a plain reference in the same run.

Everything is generated; nothing is fetched. It prints ratios, rates and the growth of memory, and asserts nothing.

    python benchmarks/data_speed.py [questions|photographs|clicks|memory]
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from bytemlperf.datasets import DatasetLoader, open_dataset
from bytemlperf.spec import ModelSpec, TensorSpec
from bytemlperf.workload import DatasetRequest

WINDOWS = 10_833
PHOTOGRAPHS = 96
ROWS = 400_000
ROUNDS = 3
LONG_PASSAGES = 0.012
EMPTY_COUNTS = 0.2
CLICKED = 0.25


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


def words(rng: np.random.Generator, count: int) -> list[str]:
    """Return made-up words of 2 to 9 letters, each as often as words are in a language."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    vocabulary = ["".join(rng.choice(letters, rng.integers(2, 10))) for _ in range(8_000)]
    return [vocabulary[min(rank - 1, 7_999)] for rank in rng.zipf(1.3, count)]


def write_questions(folder: Path) -> None:
    """Write 2,067 passages with 10,570 questions, as many as SQuAD 1.1's, and a vocabulary of 8,000 pieces."""
    rng = np.random.default_rng(1)
    lengths = np.where(rng.random(2_067) < LONG_PASSAGES, rng.integers(330, 420, 2_067), rng.integers(60, 200, 2_067))
    text = words(rng, int(lengths.sum()))
    ends = np.cumsum(lengths)
    passages = [" ".join(text[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(passages, trainers.WordPieceTrainer(vocab_size=8_000, special_tokens=special))
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ids)
    tokenizer.save(str(folder / "tokenizer.json"))
    data = []
    for number, passage in enumerate(passages):
        asked = range(5 + (number < 10_570 - 5 * 2_067))
        each = passage.split()
        records = [
            {"id": f"{number}-{at}", "question": " ".join(each[at : at + 11]), "answers": [{"text": each[at]}]}
            for at in asked
        ]
        data.append({"paragraphs": [{"context": passage, "qas": records}]})
    (folder / "dev-v1.1.json").write_text(json.dumps({"data": data}))


def questions(folder: Path) -> None:
    """Print how long a development set's windows take, from the file to the last input."""
    write_questions(folder)
    names = ("input_ids", "attention_mask", "token_type_ids")
    spec = spec_of(*(TensorSpec(name=name, shape=("batch", 384), dtype="int64") for name in names))
    counted = []

    def work() -> None:
        loader = opened("squad-1.1", spec, path=str(folder))
        for start in range(0, len(loader), 1_024):
            loader.load(range(start, min(start + 1_024, len(loader))))
        counted.append(len(loader))

    seconds = best_s(work, 2)
    print(
        f"questions: {counted[0]:,} windows in {seconds:.2f} s, {seconds * WINDOWS / counted[0]:.2f} s for {WINDOWS:,}"
    )


def write_photographs(folder: Path, count: int) -> None:
    """Write smooth photographs with some noise, of about 500 x 375 pixels and 100 kB, in one folder with a list."""
    rng = np.random.default_rng(2)
    noise = rng.integers(-12, 13, (375, 500, 3))
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        pixels = np.asarray(small.resize((500, 375), Image.Resampling.BICUBIC), np.int16)
        image = Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
        image.save(folder / f"{number:04d}.JPEG", quality=92)
    (folder / "val_map.txt").write_text("".join(f"{number:04d}.JPEG {number % 1000}\n" for number in range(count)))


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
    write_photographs(folder, PHOTOGRAPHS)
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


def write_clicks(path: Path, rows: int) -> None:
    """Write rows as Kaggle's file has them."""
    rng = np.random.default_rng(3)
    with path.open("w") as file:
        for start in range(0, rows, 20_000):
            count = min(20_000, rows - start)
            numbers = rng.integers(-2, 20_000, (count, 13)).astype(str)
            numbers[rng.random((count, 13)) < EMPTY_COUNTS] = ""
            hashed = np.array([f"{number:08x}" for number in rng.integers(0, 2**32, count * 26)]).reshape(count, 26)
            labels = (rng.random((count, 1)) < CLICKED).astype(int).astype(str)
            for row in np.concatenate([labels, numbers, hashed], axis=1):
                file.write("\t".join(row) + "\n")


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
    write_clicks(path, ROWS)
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


def write_links(folder: Path, count: int) -> None:
    """Write a list of many photographs; they are links to a few files, so that a disk has room for them."""
    folder.mkdir()
    write_photographs(folder, PHOTOGRAPHS)
    for number in range(PHOTOGRAPHS, count):
        (folder / f"{number:06d}.JPEG").hardlink_to(folder / f"{number % PHOTOGRAPHS:04d}.JPEG")
    names = [f"{number:04d}.JPEG" for number in range(min(count, PHOTOGRAPHS))]
    names += [f"{number:06d}.JPEG" for number in range(PHOTOGRAPHS, count)]
    (folder / "val_map.txt").write_text("".join(f"{name} {number % 1000}\n" for number, name in enumerate(names)))


def write_many_clicks(folder: Path, count: int) -> None:
    """Write rows, once each."""
    folder.mkdir()
    write_clicks(folder / "train.txt", count)


def loaded(kind: str, folder: str, count: int) -> None:
    """Load samples in this process, piece by piece, and print the most memory it ever had in KiB.

    Of photographs only every hundredth piece is decoded: what is held for the others is held all the same.
    """
    if kind == "photographs":
        spec = spec_of(TensorSpec(name="image", shape=("batch", 3, 224, 224), dtype="float32"))
        loader, step, each = opened("imagenet2012", spec, path=folder), 16, 100
    else:
        loader, step, each = opened("criteo", click_spec(), path=folder, cache=f"{folder}/cache"), 4_096, 1
    for start in range(0, count, step * each):
        loader.load(range(start, min(start + step, count)))
    status = Path("/proc/self/status").read_text(encoding="utf-8")  # what getrusage tells is inherited at the fork
    print(status.partition("VmHWM:")[2].split()[0])


def memory(folder: Path) -> None:
    """Print the peak of memory for some samples and for twice as many, each in a process of its own.

    Clicks are loaded twice: from their text, many blocks of it in both, and then from the binary form.
    """
    writers = {"photographs": (write_links, 10_000), "clicks": (write_many_clicks, ROWS)}
    for kind, (write, fewest) in writers.items():
        for count in (fewest, 2 * fewest):
            write(folder / f"{kind}{count}", count)
        for form in ("for the first time", "again"):
            peaks = [peak_bytes(kind, folder / f"{kind}{count}", count) for count in (fewest, 2 * fewest)]
            told = " and ".join(f"{peak / 2**20:.0f} MiB" for peak in peaks)
            grown = (peaks[1] - peaks[0]) / fewest
            print(f"memory: {told} for {fewest:,} {kind} and twice as many, {form}: {grown:.1f} bytes for each added")


def peak_bytes(kind: str, place: Path, count: int) -> int:
    """Return the most memory that a process of its own had for loading some samples."""
    command = [sys.executable, __file__, "loaded", kind, str(place), str(count)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - this file
    return int(found.stdout) * 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["loaded"]:
        loaded(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        parts = {each.__name__: each for each in (questions, photographs, clicks, memory)}
        for name in sys.argv[1:] or parts:
            with tempfile.TemporaryDirectory() as place:
                parts[name](Path(place))
