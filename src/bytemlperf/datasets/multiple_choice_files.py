"""Multiple-choice questions from CSV files: C-Eval's layout, MMLU's, and the original's 52 questions."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

import attrs

from bytemlperf.datasets.locating import refuse_record
from bytemlperf.datasets.text_files import decoded_lines
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LAYOUT: Final = (
    "a CSV file or a folder of them, with the columns question, A, B, C, D and answer (C-Eval), without a head in that "
    "order (MMLU), or without answers (the original's 52 questions)"
)
LETTERS: Final = ("A", "B", "C", "D")
_MMLU: Final = ("question", *LETTERS, "answer")


@attrs.frozen(kw_only=True)
class ChoiceQuestion:
    """A question.

    Attributes:
        question_id: File and number of its record.
        text: The question.
        choices: Texts of A to D.
        answer: The right one, 0 to 3; None where the file does not tell.
    """

    question_id: str
    text: str
    choices: tuple[str, ...]
    answer: int | None = None


def choice_files(path: Path) -> list[Path]:
    """Return the files of questions: the one that is named, or those of a folder in the order of their names."""
    return sorted(path.glob("*.csv")) if path.is_dir() else [path]


def read_choices(path: Path, *, skipped: list[str] | None = None) -> Iterator[ChoiceQuestion]:
    """Yield all questions of a file or folder, in order; one record at a time is in memory.

    Args:
        path: The file or folder.
        skipped: Takes what is wrong with records that cannot be used; None refuses them.

    Raises:
        DatasetError: If a record cannot be used, there is none, or only some have an answer; names it.
    """
    total, unanswered = 0, ""
    lacking = 0
    for file in choice_files(path):
        for number, record in _records(file):
            problem, question = _question(file, number, record)
            if question is not None:
                total += 1
                lacking += question.answer is None
                unanswered = unanswered or ("" if question.answer is not None else question.question_id)
                yield question
            elif skipped is not None:
                skipped.append(f"{file}:{number}: {problem}")
            else:
                refuse_record(file, number, f"a question cannot be used: {problem}", expected=LAYOUT)
    if not total:
        raise DatasetError("there is no question", where=str(path), expected=LAYOUT)
    if 0 < lacking < total:
        raise DatasetError("some questions have no answer", where=str(path), got=unanswered, expected="all or none")


def _records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each record's first line, and its fields by column."""
    reader = csv.reader(decoded_lines(path), strict=True)
    columns: tuple[str, ...] = ()
    line = 1
    try:
        for fields in reader:
            if not columns:
                columns = tuple(fields) if "question" in fields else _MMLU
                if len(set(columns)) < len(columns):
                    refuse_record(path, line, "two columns have one name", got=list(columns), expected=LAYOUT)
                if columns is not _MMLU:
                    line = reader.line_num + 1
                    continue
            if fields:
                yield line, _named(columns, fields)
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError("a file is no CSV", where=f"{path}:{reader.line_num}", got=str(error)) from error


def _named(columns: tuple[str, ...], fields: list[str]) -> dict[str, str]:
    same = len(columns) == len(fields)
    return dict(zip(columns, fields, strict=True)) if same else {"": f"{len(fields)} columns, not {len(columns)}"}


def _question(path: Path, number: int, record: dict[str, str]) -> tuple[str, ChoiceQuestion | None]:
    missing = [name for name in ("question", *LETTERS) if not record.get(name, "").strip()]
    answer = record.get("answer", "").strip().upper()
    if missing:
        return record.get("", f"{', '.join(missing)} missing or empty"), None
    if answer and answer not in LETTERS:
        return f"its answer is {answer!r}", None
    question = ChoiceQuestion(
        question_id=f"{path.stem}/{number}",
        text=record["question"].strip(),
        choices=tuple(record[letter].strip() for letter in LETTERS),
        answer=LETTERS.index(answer) if answer else None,
    )
    return "", question
