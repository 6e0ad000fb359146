"""Data in published layouts, of any size, for the benchmarks of data: made here, and nothing is fetched.

English is the language reference that comes with Python; what else there is is drawn from a seed.
"""

from __future__ import annotations

import io
import itertools
import json
import struct
import tarfile
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from PIL import Image
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

PHOTOGRAPHS = 96
"""Files that differ; beyond these, photographs are links to them, so that a disk has room."""
QUESTIONS_OF_A_PASSAGE = 5
_QUESTION_WORDS = 11
_LONG_PASSAGES = 0.012
_EMPTY_COUNTS = 0.2
_CLICKED = 0.25
_PIECES = 8_000
_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
_UINT8 = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
"""What Python 2 pickled of an array, and of its type."""


def english() -> Iterator[str]:
    """Yield the words of real English text, again and again."""
    return itertools.cycle(" ".join(topics.values()).split())


def sentences(words: Iterator[str], count: int) -> str:
    """Return the next so many words as text."""
    return " ".join(itertools.islice(words, count))


def write_wordpieces(folder: Path) -> None:
    """Write a tokenizer of BERT's kind."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=_PIECES, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(topics.values(), trainer)
    ids = [(name, tokenizer.token_to_id(name)) for name in ("[SEP]", "[CLS]")]
    tokenizer.post_processor = processors.BertProcessing(*ids)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_bytepieces(folder: Path) -> None:
    """Write a tokenizer of GPT-2's kind."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_PIECES, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    letters = "Answer: A Answer: B Answer: C Answer: D " * 5_000
    tokenizer.train_from_iterator([*topics.values(), letters], trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_questions(folder: Path, count: int) -> None:
    """Write passages as long as SQuAD 1.1's, with five questions each, and a vocabulary."""
    folder.mkdir(exist_ok=True)
    write_wordpieces(folder)
    rng, words = np.random.default_rng(1), english()
    with (folder / "dev-v1.1.json").open("w") as file:
        file.write('{"version": "1.1", "data": [')
        for start in range(0, count, QUESTIONS_OF_A_PASSAGE):
            asked = min(QUESTIONS_OF_A_PASSAGE, count - start)
            length = int(rng.integers(330, 420) if rng.random() < _LONG_PASSAGES else rng.integers(40, 115))
            article = {"title": str(start), "paragraphs": [_paragraph(sentences(words, length), start, asked)]}
            file.write((", " if start else "") + json.dumps(article))
        file.write("]}")


def _paragraph(passage: str, first: int, asked: int) -> dict[str, object]:
    each = passage.split()
    records = [
        {
            "id": str(first + number),
            "question": " ".join(each[number : number + _QUESTION_WORDS]),
            "answers": [{"text": each[number], "answer_start": passage.index(each[number])}],
        }
        for number in range(asked)
    ]
    return {"context": passage, "qas": records}


def write_text(folder: Path, count: int) -> None:
    """Write so many lines of 200 words, and a vocabulary."""
    folder.mkdir()
    write_bytepieces(folder)
    words = english()
    with (folder / "wiki.test.txt").open("w") as file:
        for _ in range(count):
            file.write(sentences(words, 200) + "\n")


def write_choices(folder: Path, count: int) -> None:
    """Write questions with four answers in C-Eval's layout, 1,000 in a file, and a vocabulary."""
    (folder / "val").mkdir(parents=True)
    write_bytepieces(folder)
    words = (word.strip('"') or "what" for word in english())
    for start in range(0, count, 1_000):
        with (folder / "val" / f"subject{start // 1_000:05d}_val.csv").open("w") as file:
            file.write("id,question,A,B,C,D,answer\n")
            for number in range(min(1_000, count - start)):
                texts = [sentences(words, length).replace('"', "'") for length in (30, 4, 4, 4, 4)]
                file.write(f"{number}," + ",".join(f'"{text}"' for text in texts) + f",{'ABCD'[number % 4]}\n")


def write_cases(folder: Path, count: int) -> None:
    """Write triplets of 300 Chinese characters each in CAIL2019's layout, and a vocabulary of characters."""
    folder.mkdir()
    rng = np.random.default_rng(6)
    letters = np.array([chr(0x4E00 + number) for number in range(3_000)])
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *letters]) + "\n", encoding="utf-8")
    with (folder / "test.json").open("w", encoding="utf-8") as file:
        for number in range(count):
            texts = ("".join(row) for row in letters[rng.integers(0, len(letters), (3, 300))])
            record = dict(zip("ABC", texts, strict=True))
            file.write(json.dumps({**record, "label": "BC"[number % 2]}, ensure_ascii=False) + "\n")


def write_thumbnails(folder: Path, count: int) -> None:
    """Write images of 32 x 32 in CIFAR-100's layout, as Python 2 pickled them, and prompts as tokens."""
    folder.mkdir()
    rng = np.random.default_rng(7)
    names = b"".join(b"U\x18" + f"a_photograph_{number:07d}.png".encode() for number in range(count))
    labels = b"".join(b"K" + bytes([label]) for label in rng.integers(0, 100, count).tolist())
    with (folder / "test").open("wb") as file:
        file.write(b"\x80\x02}(U\x09filenames](" + names + b"eU\x0bfine_labels](" + labels + b"eU\x04data" + _ARRAY)
        file.write(b"(K\x01J" + struct.pack("<i", count) + b"M\x00\x0c\x86" + _UINT8)
        file.write(b"\x89T" + struct.pack("<i", count * 3072))
        for start in range(0, count, 1_000):
            file.write(rng.integers(0, 256, (min(1_000, count - start), 3072), dtype=np.uint8).tobytes())
        file.write(b"tbu.")
    np.save(folder / "text.npy", rng.integers(0, 500, (100, 77)))


def photographs(width: int, height: int, quality: int) -> list[bytes]:
    """Return smooth JPEGs with some noise; 500 x 375 pixels at quality 92 take about 100 kB."""
    rng = np.random.default_rng(2)
    noise = rng.integers(-12, 13, (height, width, 3))
    return [_photograph(rng, noise, quality) for _ in range(PHOTOGRAPHS)]


def _photograph(rng: np.random.Generator, noise: np.ndarray, quality: int) -> bytes:
    small = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    pixels = np.asarray(small.resize(noise.shape[1::-1], Image.Resampling.BICUBIC), np.int16)
    file = io.BytesIO()
    Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_files(paths: list[Path], contents: list[bytes]) -> None:
    """Write files in turn; those beyond the first of each content are links."""
    for number, path in enumerate(paths):
        if number < len(contents):
            path.write_bytes(contents[number])
        else:
            path.hardlink_to(paths[number % len(contents)])


def validation_names(count: int) -> list[str]:
    """Return names as those of ImageNet's validation images."""
    return [f"ILSVRC2012_val_{number + 1:08d}.JPEG" for number in range(count)]


def write_list(folder: Path, count: int) -> None:
    """Write which label each photograph has."""
    lines = (f"{name} {number % 1000}\n" for number, name in enumerate(validation_names(count)))
    (folder / "val_map.txt").write_text("".join(lines))


def write_photographs(folder: Path, count: int) -> None:
    """Write small photographs in one folder with a list."""
    folder.mkdir(exist_ok=True)
    write_files([folder / name for name in validation_names(count)], photographs(40, 30, 60))
    write_list(folder, count)


def write_classes(folder: Path, count: int) -> None:
    """Write small photographs in 1,000 folders, one for each class."""
    places = [folder / f"n{label:08d}" for label in range(1_000)]
    for place in places:
        place.mkdir(parents=True)
    names = enumerate(validation_names(count))
    write_files([places[number % 1_000] / name for number, name in names], photographs(40, 30, 60))


def write_archive(folder: Path, count: int) -> None:
    """Write small photographs in one archive with a list beside it."""
    folder.mkdir()
    contents = photographs(40, 30, 60)
    with tarfile.open(folder / "val.tar", "w:", format=tarfile.USTAR_FORMAT) as archive:
        for number, name in enumerate(validation_names(count)):
            member = tarfile.TarInfo(name)
            member.size = len(contents[number % PHOTOGRAPHS])
            archive.addfile(member, io.BytesIO(contents[number % PHOTOGRAPHS]))
    write_list(folder, count)


def write_objects(folder: Path, count: int) -> None:
    """Write small photographs with seven objects each in COCO's layout; objects come in any order."""
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    names = [f"{number:012d}.jpg" for number in range(count)]
    write_files([folder / "val2017" / name for name in names], photographs(40, 30, 60))
    with (folder / "annotations" / "instances_val2017.json").open("w") as file:
        listed = ", ".join(json.dumps({"id": number, "file_name": name}) for number, name in enumerate(names))
        file.write('{"info": {}, "images": [' + listed + '], "annotations": [')
        for place, number in enumerate(np.random.default_rng(9).permutation(7 * count).tolist()):
            box = [1 + 5 * (number % 7), 2, 4, 9.25]
            outline = [box[0], 2.0, 3.5, 4.25, 6.0, 8.5, box[0], 9.0]
            made = {"id": number, "image_id": number // 7, "category_id": 1 + number % 7, "bbox": box, "area": 37.0}
            file.write((", " if place else "") + json.dumps({**made, "segmentation": [outline], "iscrowd": 0}))
        file.write('], "categories": ' + json.dumps([{"id": 1 + each, "name": str(each)} for each in range(7)]) + "}")


def write_clicks(folder: Path, count: int) -> None:
    """Write rows as Kaggle's file has them."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(3)
    with (folder / "train.txt").open("w") as file:
        for start in range(0, count, 20_000):
            some = min(20_000, count - start)
            numbers = rng.integers(-2, 20_000, (some, 13)).astype(str)
            numbers[rng.random((some, 13)) < _EMPTY_COUNTS] = ""
            hashed = np.array([f"{number:08x}" for number in rng.integers(0, 2**32, some * 26)]).reshape(some, 26)
            labels = (rng.random((some, 1)) < _CLICKED).astype(int).astype(str)
            for row in np.concatenate([labels, numbers, hashed], axis=1):
                file.write("\t".join(row) + "\n")
