"""Pairs of cases as tokens: made some at a time, kept in the cache, read when they are asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Final

import numpy as np
import tokenizers

from bytemlperf.datasets.binary_form import binary_form, content_digest, read_skipped, write_skipped
from bytemlperf.datasets.cail2019_files import ARRAYS, Tokens, Triplet, read_arrays, read_triplets
from bytemlperf.datasets.chinese_words import WordTokens
from bytemlperf.datasets.row_files import RaggedFile, add_rows
from bytemlperf.datasets.tokenizing import token_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tokenizers import Tokenizer

VERSION: Final = "cail2019-pairs/v2"
"""Any change of a token is another version."""
Cut = Callable[[str], Iterable[str]]
"""Cuts a text into words."""
_AT_ONCE: Final = 64


class PairTokens:
    """Tokens of the pairs of triplets.

    Source: bert4keras' `Tokenizer.encode`, with which ByteMLPerf made its arrays: words of the vocabulary stay whole;
        of the longer text (of equal ones the first) the last tokens are dropped, one by one, until both fit.
    """

    def __init__(
        self, triplets: Sequence[Triplet], tokenizer: Tokenizer, words: WordTokens | None, *, seq_len: int
    ) -> None:
        """Take texts.

        Args:
            triplets: Of the texts.
            tokenizer: Of the vocabulary.
            words: Tokens of words; None for those of characters.
            seq_len: Tokens of a pair.
        """
        self._seq_len = seq_len
        self._begin, self._end = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")
        texts = [text for each in triplets for text in (each.case, each.similar, each.other)]
        self._ids = _by_characters(texts, tokenizer) if words is None else [words.ids(text) for text in texts]

    def pair(self, index: int) -> tuple[list[int], list[int]]:
        """Return ids and types of a pair: even ones are the more similar pair of a triplet."""
        triplet = 3 * (index // 2)
        first = [self._begin, *self._ids[triplet], self._end]
        second = [*self._ids[triplet + 1 + index % 2], self._end]
        while len(first) + len(second) > self._seq_len:
            (first if len(first) > len(second) else second).pop(-2)  # the first has one token more around it
        return first + second, [0] * len(first) + [1] * len(second)


def _by_characters(texts: Sequence[str], tokenizer: Tokenizer) -> list[list[int]]:
    normalizer = tokenizer.normalizer
    plain = [text if normalizer is None else normalizer.normalize_str(text) for text in texts]
    return [list(each.ids) for each in tokenizer.encode_batch(plain, add_special_tokens=False)]


class KeptPairs:
    """Pairs in their binary form.

    Attributes:
        ids: int32, tokens of each pair.
        types: int32, their segments.
        content: Digest of what they were made of.
        skipped: Lines that cannot be used.

    Args:
        folder: Of the binary form.

    Raises:
        DatasetError: If one of its files is missing or cut off.
    """

    def __init__(self, folder: Path) -> None:
        """Look how many pairs there are."""
        self.ids, self.types = RaggedFile(folder / "ids", np.int32), RaggedFile(folder / "types", np.int32)
        self.content = (folder / "content.txt").read_text(encoding="utf-8")
        self.skipped = read_skipped(folder)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.ids)


def pairs_of_arrays(folder: Path, *, cache: str | None = None) -> KeptPairs:
    """Return the pairs of the original's arrays, which are read once.

    Raises:
        DatasetError: If an array cannot be used.
        ArtifactError: If the cache cannot be written.
    """
    key = (VERSION, "arrays", *(content_digest(folder / name, cache=cache) for name in ARRAYS))
    return KeptPairs(binary_form("cail2019", lambda made: _write_arrays(made, folder), key=key, cache=cache).path)


def pairs_of_texts(
    path: Path,
    tokenizer: Tokenizer,
    cut: Cut | None,
    *,
    seq_len: int,
    words: str,
    skip: bool = False,
    cache: str | None = None,
) -> KeptPairs:
    """Return the pairs of the published text, which is read once.

    Args:
        path: Of the triplets.
        tokenizer: Of the vocabulary.
        cut: Into words; None for characters.
        seq_len: Tokens of a pair.
        words: Name of the cut, which is that of its package.
        skip: Leave out lines that cannot be used, in the place of refusing the file.
        cache: Folder of the cache; None for the usual one.

    Raises:
        DatasetError: If a line cannot be used; names it.
        ArtifactError: If the cache cannot be written.
    """
    told = f"{words}{tokenizer.to_str()}"
    libraries = [f"tokenizers {tokenizers.__version__}", "" if cut is None else f"{words} {version(words)}"]
    digest = hashlib.sha256(told.encode()).hexdigest()
    key = (VERSION, digest, *libraries, seq_len, skip, content_digest(path, cache=cache))

    def write(folder: Path) -> None:
        skipped: list[str] | None = [] if skip else None
        by_words = None if cut is None else WordTokens(tokenizer.get_vocab(), cut)
        content, triplets, total = hashlib.sha256(f"{told}(".encode()), read_triplets(path, skipped=skipped), 0
        while block := list(islice(triplets, _AT_ONCE)):
            for triplet in block:
                content.update(f"{', ' if total else ''}{triplet}".encode())
                total += 1
            made = PairTokens(block, tokenizer, by_words, seq_len=seq_len)
            _add(folder, [made.pair(index) for index in range(2 * len(block))])
        content.update(b",)" if total == 1 else b")")
        (folder / "content.txt").write_text(content.hexdigest(), encoding="utf-8")
        write_skipped(folder, skipped or [])

    return KeptPairs(binary_form("cail2019", write, key=key, cache=cache).path)


def _write_arrays(folder: Path, source: Path) -> None:
    tokens = read_arrays(source)
    add_rows(folder / "ids", tokens.ids, np.int32)
    add_rows(folder / "types", tokens.types, np.int32)
    (folder / "content.txt").write_text(_digest(tokens), encoding="utf-8")
    write_skipped(folder, [])


def _add(folder: Path, pairs: Sequence[tuple[list[int], list[int]]]) -> None:
    add_rows(folder / "ids", [np.array(ids, np.int32) for ids, _ in pairs], np.int32)
    add_rows(folder / "types", [np.array(types, np.int32) for _, types in pairs], np.int32)


def _digest(tokens: Tokens) -> str:
    digest = hashlib.sha256()
    for part in (*tokens.ids, *tokens.types):
        digest.update(len(part).to_bytes(8, "little") + part.tobytes())
    return digest.hexdigest()
