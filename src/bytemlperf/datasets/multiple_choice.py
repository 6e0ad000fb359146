"""Multiple-choice questions as prompts of a language model, whose next token is the answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import CHOICE, IGNORED
from bytemlperf.datasets.language_tokenizing import LanguageTokenizer, language_tokenizer, prefix_of
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.multiple_choice_files import LAYOUT, LETTERS, ChoiceQuestion, read_choices
from bytemlperf.datasets.scored import token_queries
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.errors import DatasetError
from bytemlperf.sample import Score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.spec import ModelSpec

VERSION: Final = "multiple-choice/v1"
"""Any change of a prompt is another version."""
PROMPT: Final = "{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n{answer}:"
"""What the model is asked; its answer is the letter that it finds likeliest next."""


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


@attrs.frozen(kw_only=True)
class Prompt:
    """A question as tokens.

    Attributes:
        question: Where it comes from.
        ids: Tokens of the prompt.
        choices: Tokens that would follow, one for each letter.
    """

    question: ChoiceQuestion
    ids: tuple[int, ...]
    choices: tuple[int, ...]


class MultipleChoiceQuestions(DatasetLoader):
    """Questions with four answers, each a prompt; labels are of dtype `CHOICE`.

    `load` gives token ids, filled up with 0 behind the prompt, and the mask where the model takes it. The original's
    52 questions have no answers: then there are no labels. Where a folder `dev` lies beside the questions, it is for
    calibration; else the last `held_out` questions. Prompts are kept as tokens.

    Sources: Y. Huang et al., C-Eval, NeurIPS 2023; D. Hendrycks et al., Measuring Massive Multitask Language
        Understanding, ICLR 2021.
    """

    name = "multiple-choice"
    options_type = ChoiceOptions
    metrics = ("multiple_choice",)

    def __init__(
        self,
        prompts: Sequence[Prompt],
        *,
        to: TokenInputs,
        evaluated: int | None = None,
        skipped: Sequence[str] = (),
        score_prompts: bool = False,
    ) -> None:
        """Take prompts.

        Args:
            prompts: Those to evaluate, then those for calibration; none longer than a sample.
            to: What the model takes.
            evaluated: How many are evaluated; None for all.
            skipped: Questions that were left out, and why.
            score_prompts: Labels are the prompts' own tokens, and not which letter is right.
        """
        self._prompts = tuple(prompts)
        self._to = to
        self._evaluated = len(self._prompts) if evaluated is None else evaluated
        self._skipped = tuple(skipped)
        self._score_prompts = score_prompts
        if score_prompts:
            self.metrics = ("prompt_perplexity",)

    @classmethod
    def open(cls, spec: ModelSpec, options: ChoiceOptions) -> Self:
        """Read the questions and make prompts of them.

        Raises:
            DatasetUnavailableError: If the questions or the tokenizer are missing.
            DatasetError: If a question cannot be used, or is too long for the model; names it.
            SpecError: If the model takes no tokens.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT)
        tokenizer = language_tokenizer(spec, options.tokenizer, beside=path if path.is_dir() else path.parent)
        to.check_vocabulary(tokenizer.size, dataset=cls.name)
        questions, skipped = read_choices(path, skip=options.skip_unusable)
        prompts, too_long = _fitting(questions, tokenizer, options, to)
        evaluated = split_off(len(prompts), options.held_out, dataset=cls.name)
        beside = path.with_name("dev")
        if not options.held_out and path.is_dir() and beside.is_dir() and path != beside:
            more, unusable = read_choices(beside, skip=True)
            fitting, longer = _fitting(more, tokenizer, attrs.evolve(options, skip_unusable=True), to)
            prompts, skipped = (*prompts, *fitting), (*skipped, *unusable, *longer)
        return cls(
            prompts,
            to=to,
            evaluated=evaluated,
            skipped=(*skipped, *too_long),
            score_prompts=options.score_prompts,
        )

    def __len__(self) -> int:
        """Return the number of questions to evaluate."""
        return self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return the prompts' token ids.

        Raises:
            DatasetError: If there is no such question.
        """
        chosen = self._checked(indices)
        ids, mask = (np.zeros((len(chosen), self._to.seq_len), np.int32) for _ in range(2))
        for row, index in enumerate(chosen):
            tokens = self._prompts[index].ids
            ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        return self._to.arrays(ids, mask)

    def labels(self, indices: Sequence[int]) -> Array | None:
        """Return where the answer comes, its letters' tokens and the right one, [n] of dtype `CHOICE`; None without.

        Where prompts are scored: the next tokens, int64 [n, seq_len], -100 behind them.
        """
        if self._score_prompts:
            return self._next_tokens(indices)
        if self._prompts[0].question.answer is None:
            return None
        chosen = [self._prompts[index] for index in self._checked(indices)]
        return np.array([(len(each.ids) - 1, each.choices, each.question.answer) for each in chosen], CHOICE)

    def _next_tokens(self, indices: Sequence[int]) -> NDArray[np.int64]:
        chosen = self._checked(indices)
        tokens = np.full((len(chosen), self._to.seq_len), IGNORED, np.int64)
        for row, index in zip(tokens, chosen, strict=True):
            following = self._prompts[index].ids[1:]
            row[: len(following)] = following
        return tokens

    def scored(self, indices: Sequence[int]) -> BatchSet:
        """Return each prompt; asked is the likelihood of each letter after it, or of its own tokens but the first.

        Raises:
            DatasetError: If there is no such question.
        """
        if self._score_prompts:
            rows = self.texts(indices)
            return token_queries(rows, [Score(spans=[(1, len(row))]) for row in rows], indices)
        chosen = [self._prompts[index] for index in self._checked(indices)]
        asks = [Score(continuations=[(choice,) for choice in each.choices]) for each in chosen]
        return token_queries(self.texts(indices), asks, indices)

    def texts(self, indices: Sequence[int]) -> list[NDArray[np.int64]]:
        """Return each prompt's tokens."""
        return [np.array(self._prompts[index].ids, np.int64) for index in self._checked(indices)]

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `<file>/<line>`; `dev/` before what comes from there."""
        return tuple(
            ("" if index < self._evaluated else "calibration/") + self._prompts[index].question.question_id
            for index in self._checked(indices)
        )

    def calibration(self) -> range:
        """Return the indices of questions that are not evaluated."""
        return range(self._evaluated, len(self._prompts))

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing and all prompts and answers."""
        text = f"{self.preprocessing};{self._to.seq_len};{self._evaluated};{self._prompts}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of the prompts."""
        return f"{VERSION} scored" if self._score_prompts else VERSION

    @property
    def skipped(self) -> Sequence[str]:
        """Questions that cannot be used or do not fit the model."""
        return self._skipped

    def _checked(self, indices: Sequence[int]) -> list[int]:
        chosen: list[int] = positions(indices, total=len(self._prompts), dataset=self.name).tolist()
        return chosen


def _fitting(
    questions: Sequence[ChoiceQuestion], tokenizer: LanguageTokenizer, options: ChoiceOptions, to: TokenInputs
) -> tuple[tuple[Prompt, ...], tuple[str, ...]]:
    prompts: list[Prompt] = []
    too_long: list[str] = []
    for question in questions:
        prompt = prompt_of(question, tokenizer, options)
        if len(prompt.ids) <= to.seq_len:
            prompts.append(prompt)
        elif options.skip_unusable:
            too_long.append(f"{question.question_id}: {len(prompt.ids)} tokens")
        else:
            expected = f"at most the model's {to.seq_len} tokens"
            raise DatasetError(
                "a question is too long for the model",
                where=question.question_id,
                got=len(prompt.ids),
                expected=expected,
            )
    if not prompts:
        raise DatasetError("no question fits the model", got=too_long[:1])
    return tuple(prompts), tuple(too_long)


def prompt_of(question: ChoiceQuestion, tokenizer: LanguageTokenizer, options: ChoiceOptions) -> Prompt:
    """Make a question's prompt, and find by which token each letter would follow it.

    Raises:
        DatasetError: If the tokenizer does not tell the letters apart.
    """
    named = dict(zip(LETTERS, question.choices, strict=True))
    text = PROMPT.format(question=question.text, answer=options.answer, **named)
    followed = [tokenizer.encode(f"{text} {letter}") for letter in LETTERS]
    prompts, choices = {tuple(ids[:-1]) for ids in followed}, tuple(ids[-1] for ids in followed)
    if len(prompts) != 1 or len(set(choices)) != len(LETTERS):
        raise DatasetError(
            "the tokenizer makes no single token of each letter", where=question.question_id, got=choices
        )
    begin = prefix_of(tokenizer, options.begin)
    return Prompt(question=question, ids=(*begin, *prompts.pop()), choices=choices)
