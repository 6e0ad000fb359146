"""Multiple-choice questions as prompts: made some at a time, kept in the cache, read when they are asked for."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.binary_form import binary_form, content_digest, read_skipped, write_skipped
from bytemlperf.datasets.labels import CHOICES
from bytemlperf.datasets.language_tokenizing import LanguageTokenizer
from bytemlperf.datasets.multiple_choice_files import LETTERS, ChoiceQuestion, choice_files, read_choices
from bytemlperf.datasets.row_files import RaggedFile, RowFile, add_array, add_rows, add_texts
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

VERSION: Final = "multiple-choice/v1"
"""Any change of a prompt is another version."""
PROMPT: Final = "{question}\nA. {A}\nB. {B}\nC. {C}\nD. {D}\n{answer}:"
"""What the model is asked; its answer is the letter that it finds likeliest next."""
_FACTS: Final = np.dtype([("choices", np.int32, CHOICES), ("answer", np.int8)])
_NO_ANSWER: Final = -1
_AT_ONCE: Final = 256


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


@attrs.frozen(kw_only=True)
class Prompting:
    """How questions become prompts.

    Attributes:
        tokenizer: The model's.
        begin: Token ids before the prompt.
        answer: Word for "answer" in the prompt.
        longest: Tokens of the longest prompt that the model takes.
        skip: Leave out questions that cannot be used or are too long, in the place of refusing them.
    """

    tokenizer: LanguageTokenizer
    begin: tuple[int, ...]
    answer: str
    longest: int
    skip: bool

    def prompts(self, questions: Sequence[ChoiceQuestion]) -> list[Prompt]:
        """Make prompts, and find by which token each letter would follow them.

        Raises:
            DatasetError: If the tokenizer does not tell the letters apart.
        """
        texts = [self._text(question) for question in questions]
        placed = self.tokenizer.encode_many([f"{text} {letter}" for text in texts for letter in LETTERS])
        followed = iter(each.ids.tolist() for each in placed)
        return [self._prompt(question, list(islice(followed, len(LETTERS)))) for question in questions]

    def _text(self, question: ChoiceQuestion) -> str:
        named = dict(zip(LETTERS, question.choices, strict=True))
        return PROMPT.format(question=question.text, answer=self.answer, **named)

    def _prompt(self, question: ChoiceQuestion, followed: list[list[int]]) -> Prompt:
        prompts, choices = {tuple(ids[:-1]) for ids in followed}, tuple(ids[-1] for ids in followed)
        if len(prompts) != 1 or len(set(choices)) != len(LETTERS):
            raise DatasetError(
                "the tokenizer makes no single token of each letter", where=question.question_id, got=choices
            )
        return Prompt(question=question, ids=(*self.begin, *prompts.pop()), choices=choices)


class KeptPrompts:
    """Prompts in their binary form: those to evaluate, then those for calibration.

    Args:
        folder: Of the binary form.

    Raises:
        DatasetError: If one of its files is missing or cut off.
    """

    def __init__(self, folder: Path) -> None:
        """Look how many there are."""
        self.ids, self.facts = RaggedFile(folder / "ids", np.int32), RowFile(folder / "facts", _FACTS)
        self._questions = RaggedFile(folder / "questions", np.uint8)
        self.evaluated = int((folder / "evaluated.txt").read_text(encoding="utf-8"))
        self.skipped = read_skipped(folder)

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self.facts)

    def __iter__(self) -> Iterator[Prompt]:
        """Yield all prompts; some at a time are in memory."""
        for start in range(0, len(self), _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, len(self)))
            found = zip(self.ids.rows(rows), self.facts[rows].tolist(), self._questions.texts(rows), strict=True)
            for ids, (choices, answer), told in found:
                question_id, text, named = json.loads(told)
                question = ChoiceQuestion(
                    question_id=question_id,
                    text=text,
                    choices=tuple(named),
                    answer=None if answer == _NO_ANSWER else answer,
                )
                yield Prompt(question=question, ids=tuple(ids.tolist()), choices=tuple(choices.tolist()))

    @property
    def answered(self) -> bool:
        """Whether it is known which answers are right."""
        return int(self.facts[:1]["answer"][0]) != _NO_ANSWER

    def names(self, chosen: NDArray[np.int64]) -> list[str]:
        """Return where questions come from."""
        return [json.loads(told)[0] for told in self._questions.texts(chosen)]


def kept_prompts(path: Path, dev: Path | None, prompting: Prompting, *, cache: str | None = None) -> KeptPrompts:
    """Return the prompts of a file or folder, made where they are missing.

    Args:
        path: Of the questions to evaluate.
        dev: Of those for calibration; None without.
        prompting: How they become prompts.
        cache: Folder of the cache; None for the usual one.

    Raises:
        DatasetError: If a question cannot be used, or is too long for the model; names it.
        ArtifactError: If the cache cannot be written.
    """
    digests = [f"{each.name} {content_digest(each, cache=cache)}" for each in choice_files(path)]
    beside = () if dev is None else [f"{each.name} {content_digest(each, cache=cache)}" for each in choice_files(dev)]
    made_of = (prompting.tokenizer.digest, prompting.begin, prompting.answer, prompting.longest, prompting.skip)
    key = (VERSION, *made_of, *digests, "dev", *beside)
    return KeptPrompts(
        binary_form("multiple-choice", lambda made: _write(made, path, dev, prompting), key=key, cache=cache).path
    )


def _write(folder: Path, path: Path, dev: Path | None, prompting: Prompting) -> None:
    skipped: list[str] = []
    too_long: list[str] = []
    evaluated = _add(folder, read_choices(path, skipped=skipped if prompting.skip else None), prompting, too_long)
    (folder / "evaluated.txt").write_text(str(evaluated), encoding="utf-8")
    unusable: list[str] = []
    longer: list[str] = []
    if dev is not None:
        _add(folder, read_choices(dev, skipped=unusable), attrs.evolve(prompting, skip=True), longer)
    write_skipped(folder, [*skipped, *unusable, *longer, *too_long])


def _add(folder: Path, questions: Iterator[ChoiceQuestion], prompting: Prompting, too_long: list[str]) -> int:
    """Write prompts behind those that are there; return how many they are."""
    total = 0
    while block := list(islice(questions, _AT_ONCE)):
        prompts = [each for each in prompting.prompts(block) if _fits(each, prompting, too_long)]
        add_rows(folder / "ids", [np.array(each.ids, np.int32) for each in prompts], np.int32)
        facts = [(each.choices, _NO_ANSWER if (found := each.question.answer) is None else found) for each in prompts]
        add_array(folder / "facts", np.array(facts, _FACTS))
        told = [(each.question.question_id, each.question.text, each.question.choices) for each in prompts]
        add_texts(folder / "questions", [json.dumps(each) for each in told])
        total += len(prompts)
    if not total:
        raise DatasetError("no question fits the model", got=too_long[:1])
    return total


def _fits(prompt: Prompt, prompting: Prompting, too_long: list[str]) -> bool:
    """Tell whether a prompt is not too long; note one that is, or refuse it."""
    name, length = prompt.question.question_id, len(prompt.ids)
    if length <= prompting.longest:
        return True
    if not prompting.skip:
        expected = f"at most the model's {prompting.longest} tokens"
        raise DatasetError("a question is too long for the model", where=name, got=length, expected=expected)
    too_long.append(f"{name}: {length} tokens")
    return False
