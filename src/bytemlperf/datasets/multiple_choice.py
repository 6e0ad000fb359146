"""Multiple-choice questions as prompts of a language model, whose next token is the answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import CHOICE, IGNORED
from bytemlperf.datasets.language_tokenizing import language_tokenizer, prefix_of
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.multiple_choice_files import LAYOUT
from bytemlperf.datasets.multiple_choice_prompts import VERSION, KeptPrompts, Prompting, kept_prompts
from bytemlperf.datasets.scored import token_queries
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.sample import Score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.spec import ModelSpec


@attrs.frozen(kw_only=True)
class ChoiceOptions(FileOptions):
    """Where the questions and the model's tokenizer are, and how it is asked.

    Attributes:
        tokenizer: Folder of the tokenizer's files, or one of them; None looks beside the questions, then among the
            files of the model's sources.
        answer: Word for "answer" in the prompt.
        begin: Tokens that are put before the prompt, with spaces between; empty for none, None for those that the
            model's makers put there: LLaMA's `<s>`, ChatGLM2's `[gMASK] sop`.
        skip_unusable: Leave out questions that cannot be used or do not fit the model, and count them.
        score_prompts: Score the tokens of the prompts themselves, each after those before it, and no letters: the
            perplexity of each prompt, for which questions need no answers.
    """

    tokenizer: str | None = None
    answer: str = "Answer"
    begin: str | None = None
    skip_unusable: bool = False
    score_prompts: bool = False


class MultipleChoiceQuestions(DatasetLoader):
    """Questions with four answers, each a prompt; labels are of dtype `CHOICE`.

    `load` gives token ids, filled up with 0 behind the prompt, and the mask where the model takes it. The original's
    52 questions have no answers: then there are no labels. Where a folder `dev` lies beside the questions, it is for
    calibration; else the last `held_out` questions.

    The files are read once, record by record, and prompts are kept in the cache as tokens, of which only those that are
    asked for are read: memory does not grow with the questions.

    Sources: Y. Huang et al., C-Eval, NeurIPS 2023; D. Hendrycks et al., Measuring Massive Multitask Language
        Understanding, ICLR 2021.
    """

    name = "multiple-choice"
    options_type = ChoiceOptions
    metrics = ("multiple_choice",)

    def __init__(
        self, prompts: KeptPrompts, *, to: TokenInputs, evaluated: int | None = None, score_prompts: bool = False
    ) -> None:
        """Take prompts.

        Args:
            prompts: Those to evaluate, then those for calibration; none longer than a sample.
            to: What the model takes.
            evaluated: How many are evaluated; None for all.
            score_prompts: Labels are the prompts' own tokens, and not which letter is right.
        """
        self._prompts = prompts
        self._to = to
        self._evaluated = len(prompts) if evaluated is None else evaluated
        self._score_prompts = score_prompts
        if score_prompts:
            self.metrics = ("prompt_perplexity",)

    @classmethod
    def open(cls, spec: ModelSpec, options: ChoiceOptions) -> Self:
        """Read the questions and make prompts of them, or read these where they were made before.

        Raises:
            DatasetUnavailableError: If the questions or the tokenizer are missing.
            DatasetError: If a question cannot be used, or is too long for the model; names it.
            SpecError: If the model takes no tokens.
            ArtifactError: If the cache cannot be written.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT)
        tokenizer = language_tokenizer(spec, options.tokenizer, beside=path if path.is_dir() else path.parent)
        to.check_vocabulary(tokenizer.size, dataset=cls.name)
        beside = path.with_name("dev")
        has_dev = not options.held_out and path.is_dir() and beside.is_dir() and path != beside
        prompting = Prompting(
            tokenizer=tokenizer,
            begin=prefix_of(tokenizer, options.begin),
            answer=options.answer,
            longest=to.seq_len,
            skip=options.skip_unusable,
        )
        prompts = kept_prompts(path, beside if has_dev else None, prompting, cache=options.cache)
        evaluated = split_off(prompts.evaluated, options.held_out, dataset=cls.name)
        return cls(prompts, to=to, evaluated=evaluated, score_prompts=options.score_prompts)

    def __len__(self) -> int:
        """Return the number of questions to evaluate."""
        return self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return the prompts' token ids.

        Raises:
            DatasetError: If there is no such question.
        """
        rows = self._prompts.ids.rows(self._checked(indices))
        ids, mask = (np.zeros((len(rows), self._to.seq_len), np.int32) for _ in range(2))
        for row, tokens in enumerate(rows):
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        return self._to.arrays(ids, mask)

    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return where the answer comes, its letters' tokens and the right one, [n] of dtype `CHOICE`; None without.

        Where prompts are scored: the next tokens, int64 [n, seq_len], -100 behind them.
        """
        if self._score_prompts:
            return self._next_tokens(indices)
        if not self._prompts.answered:
            return None
        chosen = self._checked(indices)
        labels, facts = np.empty(len(chosen), CHOICE), self._prompts.facts[chosen]
        labels["position"] = self._prompts.ids.starts(chosen + 1) - self._prompts.ids.starts(chosen) - 1
        labels["choices"], labels["answer"] = facts["choices"], facts["answer"]
        return labels

    def _next_tokens(self, indices: Sequence[int]) -> NDArray[np.int64]:
        rows = self._prompts.ids.rows(self._checked(indices))
        tokens = np.full((len(rows), self._to.seq_len), IGNORED, np.int64)
        for filled, ids in zip(tokens, rows, strict=True):
            filled[: len(ids) - 1] = ids[1:]
        return tokens

    def scored(self, indices: Sequence[int]) -> BatchSet:
        """Return each prompt; asked is the likelihood of each letter after it, or of its own tokens but the first.

        Raises:
            DatasetError: If there is no such question.
        """
        if self._score_prompts:
            rows = self.texts(indices)
            return token_queries(rows, [Score(spans=[(1, len(row))]) for row in rows], indices)
        letters = self._prompts.facts[self._checked(indices)]["choices"].tolist()
        asks = [Score(continuations=[(choice,) for choice in each]) for each in letters]
        return token_queries(self.texts(indices), asks, indices)

    def texts(self, indices: Sequence[int]) -> list[NDArray[np.int64]]:
        """Return each prompt's tokens."""
        return [row.astype(np.int64) for row in self._prompts.ids.rows(self._checked(indices))]

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `<file>/<line>`; `dev/` before what comes from there."""
        chosen = self._checked(indices)
        return tuple(
            ("" if index < self._evaluated else "calibration/") + name
            for index, name in zip(chosen.tolist(), self._prompts.names(chosen), strict=True)
        )

    def calibration(self) -> range:
        """Return the indices of questions that are not evaluated."""
        return range(self._evaluated, len(self._prompts))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing and all prompts and answers."""
        digest = hashlib.sha256(f"{self.preprocessing};{self._to.seq_len};{self._evaluated};(".encode())
        for number, prompt in enumerate(self._prompts):
            digest.update(f"{', ' if number else ''}{prompt!r}".encode())
        digest.update(b",)" if len(self._prompts) == 1 else b")")
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of the prompts."""
        return f"{VERSION} scored" if self._score_prompts else VERSION

    @property
    def skipped(self) -> Sequence[str]:
        """Questions that cannot be used or do not fit the model."""
        return self._prompts.skipped

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=len(self._prompts), dataset=self.name)
