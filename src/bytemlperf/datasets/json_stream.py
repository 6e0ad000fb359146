"""JSON read piece by piece: what holds many records is gone into, and each record is read by itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bytemlperf.datasets.text_files import decoded_blocks
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = " \t\r\n"


class JsonStream:
    """A position in a JSON file; memory is that of the value which is read, and of a piece of the file.

    Where a value comes next, `value` reads it whole, `members` and `items` go into it.

    Args:
        path: The file.
        layout: What is expected of it, for messages.
    """

    def __init__(self, path: Path, *, layout: str) -> None:
        """Stand before the first value."""
        self._path, self._layout = path, layout
        self._pieces = decoded_blocks(path)
        self._text, self._at, self._before, self._taken = "", 0, 0, 0

    def peek(self) -> str:
        """Return the next character that is no space; nothing at the end.

        Raises:
            DatasetError: If the file cannot be read, or is no UTF-8 text.
        """
        while True:
            while self._at < len(self._text) and self._text[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def value(self) -> Any:  # noqa: ANN401 - JSON
        """Read the next value whole.

        Raises:
            DatasetError: If it is none.
        """
        self.peek()
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError as error:
                if not self._more():
                    self._refuse(str(getattr(error, "msg", error)))
            except RecursionError as error:
                self._refuse(str(error))
            else:
                if end < len(self._text) or not self._more():  # at the end of a piece, a number may go on
                    self._at = end
                    self._taken += 1
                    return found

    def members(self) -> Iterator[str]:
        """Go into an object: yield the name of each member; what is not read of it before the next is left out.

        Raises:
            DatasetError: If it is no object.
        """
        self._expect("{")
        if self.peek() == "}":
            self._expect("}")
            return
        while True:
            name = self.value()
            if not isinstance(name, str):
                self._refuse(f"a name is expected, and this is {name!r:.60}")
            self._expect(":")
            taken = self._taken
            yield name
            if self._taken == taken:
                self.value()
            if self._expect(",}") == "}":
                return

    def items(self) -> Iterator[int]:
        """Go into an array: yield the number of each item, which is to be read before the next.

        Raises:
            DatasetError: If it is no array.
        """
        self._expect("[")
        if self.peek() == "]":
            self._expect("]")
            return
        number = 0
        while True:
            taken = self._taken
            yield number
            if self._taken == taken:
                self.value()
            if self._expect(",]") == "]":
                return
            number += 1

    def end(self) -> None:
        """Make sure that nothing follows.

        Raises:
            DatasetError: If something does.
        """
        if self.peek():
            self._refuse("Extra data")

    def _expect(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            self._refuse(f"Expecting {' or '.join(characters)}")
        self._at += 1
        self._taken += 1
        return found

    def _more(self) -> bool:
        """Read on, at least as much as is left, so that a long value is tried a few times only."""
        left = self._text[self._at :]
        parts = [left]
        size = 0
        for piece in self._pieces:
            parts.append(piece)
            size += len(piece)
            if size > len(left):
                break
        self._before += self._at
        self._text, self._at = "".join(parts), 0
        return size > 0

    def _refuse(self, problem: str) -> NoReturn:
        got = f"{problem} (char {self._before + self._at})"
        raise DatasetError("a file is no JSON", where=str(self._path), got=got, expected=self._layout)
