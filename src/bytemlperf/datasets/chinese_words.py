"""Chinese texts as tokens of words, as RoFormer's checkpoints were trained; in details these are not BERT's rules.

Source: J. Su, bert4keras 0.11.5, `bert4keras/tokenizers.py` (`Tokenizer` with `do_lower_case` and `pre_tokenize`).
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

LONGEST: Final = 200
"""Characters of the longest word that is cut into pieces."""
_UNKNOWN: Final = "[UNK]"
_KEPT: Final = 2**16
_IDEOGRAPHS: Final = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_MARKS: Final = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class WordTokens:
    """Tokens of texts: a word that the vocabulary has stays whole, any other is cut into characters and pieces.

    Args:
        vocabulary: Ids by token.
        cut: Cuts a text into words.

    Raises:
        DatasetError: If the vocabulary has no `[UNK]`.

    Example:
        >>> words = WordTokens({"[UNK]": 0, "law": 1, "##yer": 2, "法院": 3, "法": 4}, str.split)
        >>> words.ids("法院 Lawyer 法官")
        [3, 1, 2, 4, 0]
    """

    def __init__(self, vocabulary: Mapping[str, int], cut: Callable[[str], Iterable[str]]) -> None:
        """Keep both."""
        if _UNKNOWN not in vocabulary:
            raise DatasetError("the tokenizer lacks a token", got=_UNKNOWN)
        self._vocabulary, self._cut = vocabulary, cut
        self._of_word = lru_cache(_KEPT)(self._looked_up)

    def ids(self, text: str) -> list[int]:
        """Return a text's token ids, without any before or behind it."""
        return [number for word in self._cut(_plain(text)) for number in self._of_word(word)]

    def _looked_up(self, word: str) -> tuple[int, ...]:
        if word in self._vocabulary:
            return (self._vocabulary[word],)
        return tuple(number for part in _parts(_plain(word)) for number in self._pieces(part))

    def _pieces(self, part: str) -> list[int]:
        """Return the longest pieces that the vocabulary has, from the left; one unknown token where they do not fit."""
        found: list[int] = []
        start = 0
        while start < len(part) <= LONGEST:
            lead = "##" if start else ""
            ends = range(len(part), start, -1)
            end = next((end for end in ends if lead + part[start:end] in self._vocabulary), None)
            if end is None:
                return [self._vocabulary[_UNKNOWN]]
            found.append(self._vocabulary[lead + part[start:end]])
            start = end
        return found or [self._vocabulary.get(part, self._vocabulary[_UNKNOWN])]


def _plain(text: str) -> str:
    """Return a text in lower case and without accents."""
    parts = unicodedata.normalize("NFD", text.lower())
    return "".join(each for each in parts if unicodedata.category(each) != "Mn")


def _parts(text: str) -> list[str]:
    """Cut at spaces, and before and behind each ideograph and mark; characters that control are left out."""
    return "".join(_spaced(text)).split()


def _spaced(text: str) -> Iterator[str]:
    for each in text:
        category, code = unicodedata.category(each), ord(each)
        if each in _MARKS or category[0] == "P" or any(low <= code <= high for low, high in _IDEOGRAPHS):
            yield f" {each} "
        elif each in "\n\r\t" or category == "Zs":
            yield " "
        elif each != "\ufffd" and category not in {"Cc", "Cf"}:
            yield each
