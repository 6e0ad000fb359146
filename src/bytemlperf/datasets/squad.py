"""Questions of SQuAD 1.1 as samples of a model that reads question and passage together."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np
import tokenizers

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import QuestionWindow, as_labels
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.squad_features import Cutting, SquadFeatures, SquadSource
from bytemlperf.datasets.squad_files import CALIBRATION, LAYOUT, NAMES
from bytemlperf.datasets.squad_places import Places
from bytemlperf.datasets.squad_windows import Frame, most_context
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.tokenizing import model_tokenizer
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

VERSION: Final = "squad-windows/v1"
"""Any change of a token is another version."""
_AT_ONCE: Final = 256
"""Windows that are put together at a time."""


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
    windows of a question follow each other.

    The file is read once, paragraph by paragraph, and what is made of it is kept in the cache: texts, tokens with their
    places, and windows. Of them only what is asked for is read, so that memory does not grow with the questions.

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
        features: SquadFeatures,
        frame: Frame,
        *,
        to: TokenInputs,
        evaluated: int | None = None,
        settings: str,
        tokenizer_digest: str,
    ) -> None:
        """Take questions in their binary form.

        Args:
            features: Questions to evaluate, then those for calibration.
            frame: What the tokenizer puts around texts.
            to: What the model takes.
            evaluated: How many of the questions are evaluated; None for all.
            settings: Version of the windows, and how passages were cut.
            tokenizer_digest: Of the tokenizer that made the tokens.
        """
        self._features, self._frame, self._to = features, frame, to
        self._settings, self._tokenizer_digest = settings, tokenizer_digest
        total = len(features.questions)
        self._length = int(features.first[np.array([total if evaluated is None else evaluated])][0])

    @classmethod
    def open(cls, spec: ModelSpec, options: SquadOptions) -> Self:
        """Read the questions, from their binary form where they were read before.

        Raises:
            DatasetUnavailableError: If the questions or the tokenizer are missing.
            DatasetError: If a file is damaged; names the record.
            SpecError: If the model takes no such inputs, or a question leaves no room for its passage.
            ArtifactError: If the cache cannot be written.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT, names=NAMES)
        tokenizer = model_tokenizer(spec, options.tokenizer, beside=path.parent)
        to.check_vocabulary(tokenizer.get_vocab_size(with_added_tokens=True), dataset=cls.name)
        more = path.with_name(CALIBRATION)
        calibration = more if not options.held_out and more.is_file() else None
        source = SquadSource(path=path, calibration=calibration, skip=options.skip_unusable)
        cutting = Cutting(seq_len=to.seq_len, doc_stride=options.doc_stride, max_question=options.max_question)
        digest = hashlib.sha256(tokenizer.to_str().encode()).hexdigest()
        features, questions = source.features(
            tokenizer, cutting, key=(VERSION, tokenizers.__version__, digest), cache=options.cache
        )
        return cls(
            features,
            Frame.of(tokenizer),
            to=to,
            evaluated=split_off(questions, options.held_out, dataset=cls.name),
            settings=f"{VERSION} {cutting}",
            tokenizer_digest=digest,
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
        ids, types, mask = (np.zeros((len(chosen), self._to.seq_len), np.int32) for _ in range(3))
        ids += self._frame.padding
        for rows, places in self._placed(chosen):
            ids[rows][places.asked] = self._features.question_ids.values[places.asked_tokens]
            ids[rows][places.told] = self._features.passage_ids.values[places.told_tokens]
            places.put_frame(self._frame, ids[rows], types[rows])
            mask[rows] = np.arange(self._to.seq_len) < places.end[:, np.newaxis]
        return self._to.arrays(ids, mask, types)

    def labels(self, indices: Sequence[int]) -> Array:
        """Return `QuestionWindow`s, an array of objects [n]."""
        chosen = self._checked(indices)
        found = [label for rows, places in self._placed(chosen) for label in self._labels(chosen[rows], places)]
        return as_labels(found)

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `<question's id>/<number of the window>`."""
        chosen = self._checked(indices)
        question = self._features.windows[chosen]["question"]
        names, number = self._features.names.texts(question), chosen - self._features.first[question]
        return tuple(f"{name}/{each}" for name, each in zip(names, number.tolist(), strict=True))

    def calibration(self) -> range:
        """Return the indices of windows of questions that are not evaluated."""
        return range(self._length, len(self._features.windows))

    def fingerprint(self) -> str:
        """Return a sha256 over the tokenizer, the settings, all tokens, ids and answers."""
        features = self._features
        digest = hashlib.sha256(f"{self._settings};{self._tokenizer_digest};{self._length}".encode())
        for file in (features.passage_ids.values, features.question_ids.values):
            for block in file.blocks():
                digest.update(block.tobytes())
        for block in features.windows.blocks():
            digest.update(block["start"].tobytes())
        for block in features.questions.blocks():
            digest.update(block["passage"].astype(np.int64).tobytes())
        for part in _parts(len(features.names)):
            answers = (tuple(json.loads(text)) for text in features.answers.texts(part))
            for each in zip(features.names.texts(part), answers, strict=True):
                digest.update(repr(each).encode())
        for block in features.passages.values.blocks():
            digest.update(block.tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name, version and settings of the windows."""
        return self._settings

    @property
    def skipped(self) -> Sequence[str]:
        """Questions that cannot be used."""
        return self._features.skipped

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=len(self._features.windows), dataset=self.name)

    def _placed(self, chosen: NDArray[np.int64]) -> Iterator[tuple[slice, Places]]:
        """Yield which rows of a result some windows are, and their places."""
        for part in _parts(len(chosen)):
            rows = slice(part.start, part.stop)
            yield rows, Places.of(chosen[rows], self._features, self._frame, seq_len=self._to.seq_len)

    def _labels(self, chosen: NDArray[np.int64], places: Places) -> Iterator[QuestionWindow]:
        features, (question, which) = self._features, np.unique(places.question, return_inverse=True)
        passage, whose = np.unique(places.passage, return_inverse=True)
        names, answers = features.names.texts(question), features.answers.texts(question)
        texts, right = features.passages.texts(passage), [tuple(json.loads(text)) for text in answers]
        spans: NDArray[np.int32] = np.full((*places.told.shape, 2), -1, np.int32)
        spans[places.told] = features.spans[places.told_tokens]
        first = features.first[question + np.array([[0], [1]])][:, which]
        for row, (own, last) in enumerate(
            zip((chosen - first[0]).tolist(), (first[1] - first[0]).tolist(), strict=True)
        ):
            yield QuestionWindow(
                question_id=names[which[row]],
                passage=texts[whose[row]],
                answers=right[which[row]],
                spans=spans[row],
                may_start=self._may_start(places.told[row], first[:, row], own),
                windows=last,
            )

    def _may_start(self, told: NDArray[np.bool_], first: NDArray[np.int64], own: int) -> NDArray[np.bool_]:
        """Return where an answer may begin: the window has most context there of all of its question's."""
        may_start: NDArray[np.bool_] = told.copy()
        if first[1] - first[0] > 1:
            windows = self._features.windows[first[0] : first[1]]
            may_start[told] = most_context(windows["start"], windows["length"], own=own)
        return may_start


def _parts(count: int) -> Iterator[range]:
    return (range(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE))
