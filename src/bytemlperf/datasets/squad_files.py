"""Questions and passages of SQuAD 1.1's published JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from bytemlperf.datasets.locating import as_text, read_json
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT: Final = "dev-v1.1.json of SQuAD 1.1, or a folder that has it"
NAMES: Final = ("dev-v1.1.json",)
CALIBRATION: Final = "train-v1.1.json"
"""The published training questions; where they lie beside the others, they are for calibration."""


@attrs.frozen(kw_only=True)
class Question:
    """A question.

    Attributes:
        question_id: Its published id.
        text: The question.
        passage: Number of its passage.
        answers: Texts of which each is right.
    """

    question_id: str
    text: str
    passage: int
    answers: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Questions:
    """A file of questions.

    Attributes:
        passages: Texts, in order.
        questions: In order of the file.
        skipped: Records that cannot be used.
    """

    passages: tuple[str, ...]
    questions: tuple[Question, ...]
    skipped: tuple[str, ...] = ()


def read_questions(path: Path, *, skip: bool = False, limit: int | None = None) -> Questions:
    """Read a file of SQuAD 1.1.

    Args:
        path: The file.
        skip: Leave out questions without id, text or answers in the place of refusing the file.
        limit: Read no more questions than that; None for all.

    Raises:
        DatasetError: If it is no such file, has no question, or a question cannot be used; names it.
    """
    passages: list[str] = []
    questions: dict[str, Question] = {}
    skipped: list[str] = []
    for where, passage, records in _paragraphs(path):
        passages.append(passage)
        for number, record in enumerate(records):
            problem, question = _question(record, len(passages) - 1, questions)
            if question is not None:
                questions[question.question_id] = question
            elif skip:
                skipped.append(f"{path}:{where}.qas[{number}]: {problem}")
            else:
                raise DatasetError(f"a question cannot be used: {problem}", where=f"{path}:{where}.qas[{number}]")
        if limit is not None and len(questions) >= limit:
            break
    if not questions:
        raise DatasetError("the file has no question", where=str(path), expected=LAYOUT)
    kept = tuple(questions.values())[:limit]
    return Questions(passages=tuple(passages), questions=kept, skipped=tuple(skipped))


def _paragraphs(path: Path) -> list[tuple[str, str, list[Any]]]:
    document = read_json(path, layout=LAYOUT)
    try:
        return [
            (f"data[{article}].paragraphs[{number}]", as_text(paragraph["context"]), list(paragraph["qas"]))
            for article, each in enumerate(document["data"])
            for number, paragraph in enumerate(each["paragraphs"])
        ]
    except (TypeError, LookupError) as error:
        got = f"{type(error).__name__}: {error}"
        raise DatasetError("a file is none of SQuAD 1.1", where=str(path), got=got, expected=LAYOUT) from error


def _question(record: Any, passage: int, known: dict[str, Question]) -> tuple[str, Question | None]:  # noqa: ANN401 - JSON
    try:
        answers = tuple(as_text(answer["text"]) for answer in record["answers"])
        question_id, text = as_text(record["id"]), as_text(record["question"])
    except (TypeError, LookupError) as error:
        return f"{type(error).__name__}: {error}", None
    if not answers or not text.strip():
        return "it has no answer" if text.strip() else "it has no text", None
    if question_id in known:
        return f"its id {question_id!r} is another's", None
    return "", Question(question_id=question_id, text=text, passage=passage, answers=answers)
