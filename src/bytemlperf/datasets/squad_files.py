"""Questions and passages of SQuAD 1.1's published JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from bytemlperf.datasets.json_stream import JsonStream
from bytemlperf.datasets.locating import as_text
from bytemlperf.datasets.repeats import Repeats
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
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
        answers: Texts of which each is right.
    """

    question_id: str
    text: str
    answers: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Paragraph:
    """A passage and what is asked about it.

    Attributes:
        passage: Its text.
        questions: In order of the file.
        skipped: Records that cannot be used.
    """

    passage: str
    questions: tuple[Question, ...]
    skipped: tuple[str, ...] = ()


def read_paragraphs(
    path: Path, *, skip: bool = False, limit: int | None = None, known: Repeats | None = None
) -> Iterator[Paragraph]:
    """Yield the paragraphs of a file of SQuAD 1.1, of which one at a time is in memory.

    Args:
        path: The file.
        skip: Leave out questions without id, text or answers in the place of refusing the file.
        limit: Yield no more questions than that, and read no further; None for all.
        known: Ids that are taken already; those that are read are added to it.

    Raises:
        DatasetError: If it is no such file, has no question, or a question cannot be used; names it.
    """
    known, found = Repeats() if known is None else known, 0
    for where, record in _records(path):
        paragraph = _paragraph(f"{path}:{where}", record, known, skip=skip)
        questions = paragraph.questions if limit is None else paragraph.questions[: limit - found]
        found += len(questions)
        yield attrs.evolve(paragraph, questions=questions)
        if found == limit:
            return
    if not found:
        raise DatasetError("the file has no question", where=str(path), expected=LAYOUT)


def _records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield where each paragraph is in the file, and its record."""
    stream = JsonStream(path, layout=LAYOUT)
    for article in _listed(path, stream, "data"):
        for number in _listed(path, stream, "paragraphs"):
            yield f"data[{article}].paragraphs[{number}]", stream.value()
    stream.end()


def _listed(path: Path, stream: JsonStream, member: str) -> Iterator[int]:
    """Go into the object that comes next, and yield the number of each item of one of its members."""
    times = 0
    if stream.peek() != "{":
        _refuse(path, f"{type(stream.value()).__name__} in the place of an object")
    for name in stream.members():
        if name == member and stream.peek() != "[":
            _refuse(path, f"{type(stream.value()).__name__} in the place of {member}")
        if name == member:
            times += 1
            yield from stream.items()
    if times != 1:
        _refuse(path, f"{times} members {member!r}")


def _refuse(path: Path | str, got: str) -> NoReturn:
    raise DatasetError("a file is none of SQuAD 1.1", where=str(path), got=got, expected=LAYOUT)


def _paragraph(where: str, record: Any, known: Repeats, *, skip: bool) -> Paragraph:  # noqa: ANN401 - JSON
    try:
        passage, records = as_text(record["context"]), list(record["qas"])
    except (TypeError, LookupError) as error:
        _refuse(where, f"{type(error).__name__}: {error}")
    read = [_question(each) for each in records]
    repeated = iter(known.among([question.question_id for _, question in read if question is not None]).tolist())
    questions: list[Question] = []
    skipped: list[str] = []
    for place, (problem, question) in enumerate(read):
        if question is not None and not next(repeated):
            questions.append(question)
            continue
        told = problem if question is None else f"its id {question.question_id!r} is another's"
        if not skip:
            raise DatasetError(f"a question cannot be used: {told}", where=f"{where}.qas[{place}]")
        skipped.append(f"{where}.qas[{place}]: {told}")
    return Paragraph(passage=passage, questions=tuple(questions), skipped=tuple(skipped))


def _question(record: Any) -> tuple[str, Question | None]:  # noqa: ANN401 - JSON
    """Return what is wrong with a record, else the question."""
    try:
        answers = tuple(as_text(answer["text"]) for answer in record["answers"])
        question_id, text = as_text(record["id"]), as_text(record["question"])
    except (TypeError, LookupError) as error:
        return f"{type(error).__name__}: {error}", None
    if not answers or not text.strip():
        return "it has no answer" if text.strip() else "it has no text", None
    return "", Question(question_id=question_id, text=text, answers=answers)
