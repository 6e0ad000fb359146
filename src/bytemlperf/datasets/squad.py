"""Questions of SQuAD 1.1 as samples of a model that reads question and passage together."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import QuestionWindow, as_labels
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.squad_files import CALIBRATION, LAYOUT, NAMES, Questions, read_questions
from bytemlperf.datasets.squad_windows import Frame, Texts, Windows, rows_of
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.tokenizing import model_tokenizer
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

VERSION: Final = "squad-windows/v1"
"""Any change of a token is another version."""
_CALIBRATION_QUESTIONS: Final = 512


@attrs.frozen(kw_only=True)
class SquadOptions(FileOptions):
    """Where the questions and the model's tokenizer are, and how passages are cut.

    Attributes:
        tokenizer: Folder of the tokenizer's files, or one of them; None looks beside the questions, then among the
            files of the model's sources.
        doc_stride: Tokens from one window of a passage to the next.
        max_question: Tokens of a question that are kept.
        skip_unusable: Leave out questions that cannot be used, and count them, in the place of refusing the file.
    """

    tokenizer: str | None = None
    doc_stride: int = attrs.field(default=128, validator=at_least(1))
    max_question: int = attrs.field(default=64, validator=at_least(1))
    skip_unusable: bool = False


class Squad11(DatasetLoader):
    """Windows of question and passage, each a sample; labels are `QuestionWindow`s.

    `load` gives token ids, mask and segments, [n, seq_len], as the model takes them. The order is that of the file;
    windows of a question follow each other. Tokens and their places are kept, some 12 bytes for each token of a
    passage or question, and the file's text; what `load` returns is made when it is asked for.

    Windows are BERT's: `doc_stride` tokens from one to the next. Where `train-v1.1.json` lies beside the questions,
    windows of its first 512 questions are for calibration; else the last `held_out` questions.

    Source: P. Rajpurkar et al., SQuAD: 100,000+ Questions for Machine Comprehension of Text, EMNLP 2016;
        https://rajpurkar.github.io/SQuAD-explorer (CC BY-SA 4.0).
    """

    name = "squad-1.1"
    options_type = SquadOptions
    metrics = ("squad",)

    def __init__(
        self,
        questions: Questions,
        tokenizer: Tokenizer,
        *,
        to: TokenInputs,
        evaluated: int | None = None,
        doc_stride: int = 128,
        max_question: int = 64,
    ) -> None:
        """Tokenize questions and passages.

        Args:
            questions: Those to evaluate, then those for calibration.
            tokenizer: The model's.
            to: What the model takes.
            evaluated: How many of the questions are evaluated; None for all.
            doc_stride: Tokens from one window to the next.
            max_question: Tokens of a question that are kept.
        """
        self._to = to
        self._questions = questions
        self._settings = f"{VERSION} seq_len={to.seq_len} doc_stride={doc_stride} max_question={max_question}"
        self._frame = Frame.of(tokenizer)
        self._tokenizer_digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        self._passage = np.array([each.passage for each in questions.questions], np.int64)
        self._passages = Texts.of(tokenizer, questions.passages)
        self._asked = Texts.of(tokenizer, [each.text.lstrip() for each in questions.questions])
        self._kept = np.minimum(np.diff(self._asked.starts), max_question)
        room = to.seq_len - self._frame.size - self._kept
        self._windows = Windows.of(room, np.diff(self._passages.starts)[self._passage], doc_stride=doc_stride)
        self._length = int(self._windows.first[len(questions.questions) if evaluated is None else evaluated])

    @classmethod
    def open(cls, spec: ModelSpec, options: SquadOptions) -> Self:
        """Read and tokenize the questions.

        Raises:
            DatasetUnavailableError: If the questions or the tokenizer are missing.
            DatasetError: If a file is damaged; names the record.
            SpecError: If the model takes no such inputs.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT, names=NAMES)
        tokenizer = model_tokenizer(spec, options.tokenizer, beside=path.parent)
        to.check_vocabulary(tokenizer.get_vocab_size(with_added_tokens=True), dataset=cls.name)
        questions = read_questions(path, skip=options.skip_unusable)
        evaluated = split_off(len(questions.questions), options.held_out, dataset=cls.name)
        if not options.held_out:
            questions = _with_calibration(questions, path.with_name(CALIBRATION))
        return cls(
            questions,
            tokenizer,
            to=to,
            evaluated=evaluated,
            doc_stride=options.doc_stride,
            max_question=options.max_question,
        )

    def __len__(self) -> int:
        """Return the number of windows to evaluate."""
        return self._length

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return token ids, mask and segments of windows.

        Raises:
            DatasetError: If there is no such window.
        """
        chosen = self._checked(indices)
        ids, types = (np.zeros((len(chosen), self._to.seq_len), np.int32) for _ in range(2))
        lengths = np.zeros(len(chosen), np.int64)
        rows = rows_of(
            self._frame,
            [self._asked.ids[self._question_tokens(window)] for window in chosen],
            [self._passages.ids[self._passage_tokens(window)] for window in chosen],
            seq_len=self._to.seq_len,
        )
        for number, (row_ids, row_types, length) in enumerate(rows):
            ids[number], types[number], lengths[number] = row_ids, row_types, length
        mask = (np.arange(self._to.seq_len) < lengths[:, np.newaxis]).astype(np.int32)
        return self._to.arrays(ids, mask, types)

    def labels(self, indices: Sequence[int]) -> Array:
        """Return `QuestionWindow`s, an array of objects [n]."""
        return as_labels([self._label(window) for window in self._checked(indices)])

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `<question's id>/<number of the window>`."""
        return tuple(self._id(window) for window in self._checked(indices))

    def calibration(self) -> range:
        """Return the indices of windows of questions that are not evaluated."""
        return range(self._length, len(self._windows.question))

    def fingerprint(self) -> str:
        """Return a sha256 over the tokenizer, the settings, all tokens, ids and answers."""
        digest = hashlib.sha256(f"{self._settings};{self._tokenizer_digest};{self._length}".encode())
        for array in (self._passages.ids, self._asked.ids, self._windows.start, self._passage):
            digest.update(np.ascontiguousarray(array).tobytes())
        for question in self._questions.questions:
            digest.update(repr((question.question_id, question.answers)).encode())
        for passage in self._questions.passages:
            digest.update(passage.encode())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name, version and settings of the windows."""
        return self._settings

    @property
    def skipped(self) -> Sequence[str]:
        """Questions that cannot be used."""
        return self._questions.skipped

    def _checked(self, indices: Sequence[int]) -> list[int]:
        chosen: list[int] = positions(indices, total=len(self._windows.question), dataset=self.name).tolist()
        return chosen

    def _id(self, window: int) -> str:
        question = int(self._windows.question[window])
        return f"{self._questions.questions[question].question_id}/{window - int(self._windows.first[question])}"

    def _question_tokens(self, window: int) -> slice:
        question = int(self._windows.question[window])
        tokens = self._asked.of_text(question)
        return slice(tokens.start, tokens.start + int(self._kept[question]))

    def _passage_tokens(self, window: int) -> slice:
        passage = self._passages.of_text(int(self._passage[self._windows.question[window]]))
        start = passage.start + int(self._windows.start[window])
        return slice(start, start + int(self._windows.length[window]))

    def _label(self, window: int) -> QuestionWindow:
        number = int(self._windows.question[window])
        question, length = self._questions.questions[number], int(self._windows.length[window])
        lead = len(self._frame.before) + int(self._kept[number]) + len(self._frame.between)
        spans: NDArray[np.int32] = np.full((self._to.seq_len, 2), -1, np.int32)
        spans[lead : lead + length] = self._passages.spans[self._passage_tokens(window)]
        may_start = np.zeros(self._to.seq_len, np.bool_)
        may_start[lead : lead + length] = self._windows.most_context(window)
        return QuestionWindow(
            question_id=question.question_id,
            passage=self._questions.passages[question.passage],
            answers=question.answers,
            spans=spans,
            may_start=may_start,
            windows=int(self._windows.first[number + 1] - self._windows.first[number]),
        )


def _with_calibration(questions: Questions, path: Path) -> Questions:
    if not path.is_file():
        return questions
    more = read_questions(path, skip=True, limit=_CALIBRATION_QUESTIONS)
    known = {each.question_id for each in questions.questions}
    moved = [attrs.evolve(each, passage=each.passage + len(questions.passages)) for each in more.questions]
    repeated = [f"{path}: the id {each.question_id!r} is evaluated" for each in moved if each.question_id in known]
    return attrs.evolve(
        questions,
        passages=questions.passages + more.passages,
        questions=(*questions.questions, *(each for each in moved if each.question_id not in known)),
        skipped=(*questions.skipped, *more.skipped, *repeated),
    )
