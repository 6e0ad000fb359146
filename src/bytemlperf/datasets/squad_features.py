"""SQuAD's questions in their binary form: tokens, windows and texts, each in a file and read row by row."""

from __future__ import annotations

import json
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.binary_form import binary_form, content_digest, read_skipped, write_skipped
from bytemlperf.datasets.repeats import Repeats
from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_rows, add_texts
from bytemlperf.datasets.squad_files import read_paragraphs
from bytemlperf.datasets.squad_windows import Frame, Windows
from bytemlperf.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tokenizers import Tokenizer

    from bytemlperf.datasets.squad_files import Paragraph, Question

QUESTION: Final = np.dtype([("passage", np.int32), ("kept", np.int32)])
"""Number of a question's passage, and how many of its tokens are kept."""
WINDOW: Final = np.dtype([("question", np.int32), ("start", np.int32), ("length", np.int32)])
"""A window's question, the first of its tokens in the passage, and how many these are."""
_AT_ONCE: Final = 128
"""Passages that are tokenized at a time."""
_CALIBRATION_QUESTIONS: Final = 512


@attrs.frozen(kw_only=True)
class Cutting:
    """How passages are cut into windows.

    Attributes:
        seq_len: Tokens of a sample.
        doc_stride: Tokens from one window of a passage to the next.
        max_question: Tokens of a question that are kept.
    """

    seq_len: int
    doc_stride: int
    max_question: int

    def __str__(self) -> str:
        """Return what the preprocessing's name says of it."""
        return f"seq_len={self.seq_len} doc_stride={self.doc_stride} max_question={self.max_question}"


@attrs.frozen(kw_only=True, eq=False)
class SquadFeatures:
    """Questions, passages and windows, each part in a file.

    Attributes:
        passages: Texts.
        passage_ids: int32, tokens of each passage.
        spans: int32[2] for each of these tokens, first and last + 1 character in its passage.
        questions: Of dtype `QUESTION`.
        question_ids: int32, all tokens of each question.
        names: Ids of questions.
        answers: Of each question, JSON of its right answers.
        windows: Of dtype `WINDOW`; those of a question follow each other.
        first: int64[questions + 1], number of each question's first window.
        skipped: Records that cannot be used.
    """

    passages: RaggedFile
    passage_ids: RaggedFile
    spans: RowFile
    questions: RowFile
    question_ids: RaggedFile
    names: RaggedFile
    answers: RaggedFile
    windows: RowFile
    first: RowFile
    skipped: tuple[str, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> SquadFeatures:
        """Open the files of a folder.

        Raises:
            DatasetError: If one is missing or cut off.
        """
        texts = {name: RaggedFile(folder / name, np.uint8) for name in ("passages", "names", "answers")}
        tokens = {name: RaggedFile(folder / name, np.int32) for name in ("passage_ids", "question_ids")}
        return cls(
            **texts,
            **tokens,
            spans=RowFile(folder / "spans", np.int32, (2,)),
            questions=RowFile(folder / "questions", QUESTION),
            windows=RowFile(folder / "windows", WINDOW),
            first=RowFile(folder / "first", np.int64),
            skipped=read_skipped(folder),
        )


@attrs.frozen(kw_only=True)
class SquadSource:
    """Files of questions, and what is made of them.

    Attributes:
        path: Questions to evaluate.
        calibration: Questions of which the first 512 that are not among the others are for calibration; None without.
        skip: Leave out questions that cannot be used in the place of refusing the file.
    """

    path: Path
    calibration: Path | None = None
    skip: bool = False

    def features(
        self, tokenizer: Tokenizer, cutting: Cutting, *, key: Sequence[object], cache: str | None
    ) -> tuple[SquadFeatures, int]:
        """Return the binary form, made where it is missing, and how many of its questions are to evaluate.

        Args:
            tokenizer: The model's.
            cutting: How passages are cut.
            key: What decides the form besides: the version, the tokenizer's digest.
            cache: Folder of the cache; None for the usual one.

        Raises:
            DatasetError: If a file is damaged; names the record.
            SpecError: If a question leaves no room for its passage.
            ArtifactError: If the cache cannot be written.
        """
        files = [each for each in (self.path, self.calibration) if each is not None]
        whole = (*key, cutting, self.skip, *(content_digest(file, cache=cache) for file in files))
        entry = binary_form("squad-1.1", lambda made: self._write(made, tokenizer, cutting), key=whole, cache=cache)
        return SquadFeatures.read(entry.path), int((entry.path / _EVALUATED).read_text(encoding="utf-8"))

    def _write(self, folder: Path, tokenizer: Tokenizer, cutting: Cutting) -> None:
        writer = _Writer(folder, tokenizer, cutting)
        known, skipped = Repeats(), []
        for paragraphs in _blocks(read_paragraphs(self.path, skip=self.skip, known=known)):
            skipped += [problem for each in paragraphs for problem in each.skipped]
            writer.add(paragraphs)
        (folder / _EVALUATED).write_text(str(writer.questions), encoding="utf-8")
        if self.calibration is not None:
            more = read_paragraphs(self.calibration, skip=True, limit=_CALIBRATION_QUESTIONS, known=known)
            for paragraphs in _blocks(more):
                skipped += [problem for each in paragraphs for problem in each.skipped]
                writer.add(paragraphs)
        write_skipped(folder, skipped)


_EVALUATED: Final = "evaluated.txt"


def _blocks(paragraphs: Iterator[Paragraph]) -> Iterator[list[Paragraph]]:
    while block := list(islice(paragraphs, _AT_ONCE)):
        yield block


class _Writer:
    """Writes paragraphs, some at a time, behind those that are written already."""

    def __init__(self, folder: Path, tokenizer: Tokenizer, cutting: Cutting) -> None:
        self._folder, self._tokenizer, self._cutting = folder, tokenizer, cutting
        self._around = Frame.of(tokenizer).size
        self.questions = self._passages = self._windows = 0
        add_array(folder / "first", np.zeros(1, np.int64))

    def add(self, paragraphs: Sequence[Paragraph]) -> None:
        texts, folder = [each.passage for each in paragraphs], self._folder
        asked = list(chain.from_iterable(each.questions for each in paragraphs))
        passage = np.repeat(np.arange(len(texts)), [len(each.questions) for each in paragraphs])
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        lengths = np.array([len(each.ids) for each in found], np.int64)
        add_texts(folder / "passages", texts)
        add_rows(folder / "passage_ids", [np.array(each.ids, np.int32) for each in found], np.int32)
        add_array(folder / "spans", np.concatenate([np.array(each.offsets, np.int32).reshape(-1, 2) for each in found]))
        self._add_questions(asked, passage, lengths[passage])
        self._passages += len(texts)

    def _add_questions(self, asked: list[Question], passage: NDArray[np.int64], tokens: NDArray[np.int64]) -> None:
        folder = self._folder
        texts = [each.text.lstrip() for each in asked]
        ids = [each.ids for each in self._tokenizer.encode_batch(texts, add_special_tokens=False)]
        kept = np.minimum([len(each) for each in ids], self._cutting.max_question).astype(np.int64)
        room = self._cutting.seq_len - self._around - kept
        if room.size and room.min() < 1:
            which = asked[int(room.argmin())].question_id
            raise SpecError("a question leaves no room for its passage", got=which, expected="longer samples")
        rows = np.empty(len(asked), QUESTION)
        rows["passage"], rows["kept"] = self._passages + passage, kept
        add_array(folder / "questions", rows)
        add_rows(folder / "question_ids", [np.array(each, np.int32) for each in ids], np.int32)
        add_texts(folder / "names", [each.question_id for each in asked])
        add_texts(folder / "answers", [json.dumps(each.answers) for each in asked])
        self._add_windows(Windows.of(room, tokens, doc_stride=self._cutting.doc_stride))
        self.questions += len(asked)

    def _add_windows(self, windows: Windows) -> None:
        rows = np.empty(len(windows.question), WINDOW)
        rows["question"], rows["start"] = self.questions + windows.question, windows.start
        rows["length"] = windows.length
        add_array(self._folder / "windows", rows)
        add_array(self._folder / "first", self._windows + windows.first[1:])
        self._windows += len(rows)
