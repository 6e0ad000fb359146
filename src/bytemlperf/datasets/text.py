"""A text as samples of a language model: windows in which each token is predicted once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.binary_form import binary_form, content_digest
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import IGNORED
from bytemlperf.datasets.language_tokenizing import LanguageTokenizer, language_tokenizer, prefix_of
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.row_files import RowFile, add_array
from bytemlperf.datasets.scored import token_queries
from bytemlperf.datasets.text_files import decoded_blocks
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.token_pieces import token_blocks
from bytemlperf.errors import DatasetError, SpecError
from bytemlperf.sample import Score
from bytemlperf.spec.fields import at_least

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array, BatchSet
    from bytemlperf.spec import ModelSpec

VERSION: Final = "text-windows/v1"
"""Any change of a token is another version."""
_TOKENS: Final = "tokens"
_NO_TEXT: Final = frozenset({"merges.txt", "vocab.txt"})  # a tokenizer's, which may lie beside
LAYOUT: Final = "a text file, UTF-8; or a folder of them (*.txt), which are joined in the order of their names"


@attrs.frozen(kw_only=True)
class TextOptions(FileOptions):
    """Where the text and the model's tokenizer are, and how the text is cut.

    Attributes:
        tokenizer: Folder of the tokenizer's files, or one of them; None looks beside the text, then among the files of
            the model's sources.
        stride: Tokens from one window to the next, at most the model's; None for windows that do not overlap. Tokens
            that two windows have are scored in the first.
        begin: Tokens that are put before the text, with spaces between; empty for none, None for those that the model's
            makers put there: LLaMA's `<s>`, ChatGLM2's `[gMASK] sop`.
    """

    tokenizer: str | None = None
    stride: int | None = attrs.field(default=None, validator=at_least(1, optional=True))
    begin: str | None = None


class Text(DatasetLoader):
    """Windows of a text; labels are the next tokens, int64[n, seq_len], -100 where none is scored.

    Every token but the first is scored exactly once, from the window's tokens before it; the last window is filled up
    with id 0, which is not scored. The last `held_out` windows are for calibration.

    The text is read once, piece by piece, and its tokens are kept in the cache, 4 bytes each, of which only those of
    the windows that are asked for are read: memory does not grow with the text.
    """

    name = "text"
    options_type = TextOptions
    metrics = ("perplexity",)

    def __init__(
        self, tokens: NDArray[np.int32] | RowFile, *, to: TokenInputs, stride: int | None = None, held_out: int = 0
    ) -> None:
        """Take the tokens of a text.

        Args:
            tokens: int32[tokens], at least 2, in memory or in a file.
            to: What the model takes.
            stride: Tokens from one window to the next; None for the model's number of tokens.
            held_out: How many windows are for calibration.

        Raises:
            DatasetError: If there is no token to predict, or no window to evaluate.
            SpecError: If the stride is larger than a window.
        """
        self._tokens = tokens
        self._to = to
        self._stride = to.seq_len if stride is None else stride
        if self._stride > to.seq_len:
            raise SpecError("the stride would leave tokens out", got=stride, expected=f"at most {to.seq_len}")
        if len(tokens) < 2:  # noqa: PLR2004 - one before and one to predict
            raise DatasetError("the text has no token to predict", got=len(tokens), expected="at least 2 tokens")
        self._count = 1 + max(0, -(-(len(tokens) - 1 - to.seq_len) // self._stride))
        self._evaluated = split_off(self._count, held_out, dataset=self.name)

    @classmethod
    def open(cls, spec: ModelSpec, options: TextOptions) -> Self:
        """Read and tokenize the text.

        Raises:
            DatasetUnavailableError: If the text or the tokenizer are missing.
            DatasetError: If a file is no text, or is empty.
            SpecError: If the model takes no tokens.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT)
        files = [each for each in sorted(path.glob("*.txt")) if each.name not in _NO_TEXT] if path.is_dir() else [path]
        if not any(text.strip() for file in files for text in decoded_blocks(file)):
            raise DatasetError("there is no text", where=str(path), expected=LAYOUT)
        tokenizer = language_tokenizer(spec, options.tokenizer, beside=path if path.is_dir() else path.parent)
        to.check_vocabulary(tokenizer.size, dataset=cls.name)
        prefix = prefix_of(tokenizer, options.begin)
        key = (VERSION, tokenizer.digest, prefix, *(content_digest(file, cache=options.cache) for file in files))
        entry = binary_form(cls.name, lambda made: _write(made, files, tokenizer, prefix), key=key, cache=options.cache)
        tokens = RowFile(entry.path / _TOKENS, np.int32)
        return cls(tokens, to=to, stride=options.stride, held_out=options.held_out)

    def __len__(self) -> int:
        """Return the number of windows to evaluate."""
        return self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return token ids, and the mask and positions where the model takes them.

        Raises:
            DatasetError: If there is no such window.
        """
        places, inside = self._places(indices, shift=0)
        ids = np.where(inside, self._tokens[places], 0)
        return self._to.arrays(ids, inside.astype(np.int32))

    def labels(self, indices: Sequence[int]) -> NDArray[np.int64]:
        """Return the next tokens, int64[n, seq_len]; -100 where none is scored."""
        places, inside = self._places(indices, shift=1)
        windows = positions(indices, total=self._count, dataset=self.name)
        fresh = np.arange(self._to.seq_len) >= self._to.seq_len - self._stride
        scored = inside & (fresh | (windows == 0)[:, np.newaxis])
        return np.where(scored, self._tokens[places], IGNORED).astype(np.int64)

    def scored(self, indices: Sequence[int]) -> BatchSet:
        """Return each window with the token after it; asked is the likelihood of all tokens that its labels score.

        Raises:
            DatasetError: If there is no such window.
        """
        scored = self.labels(indices) != IGNORED
        first, count = scored.argmax(axis=1), scored.sum(axis=1)
        starts = positions(indices, total=self._count, dataset=self.name) * self._stride
        ends = starts + first + count + 1
        rows = [self._tokens[start:end].astype(np.int64) for start, end in zip(starts, ends, strict=True)]
        spans = zip((first + 1).tolist(), (first + count + 1).tolist(), strict=True)
        return token_queries(rows, [Score(spans=[span]) for span in spans], indices)

    def texts(self, indices: Sequence[int]) -> list[NDArray[np.int64]]:
        """Return each window's tokens."""
        places, inside = self._places(indices, shift=0)
        return [self._tokens[row[there]].astype(np.int64) for row, there in zip(places, inside, strict=True)]

    def calibration(self) -> range:
        """Return the indices of the windows that are held out."""
        return range(self._evaluated, self._count)

    def fingerprint(self) -> str:
        """Return a sha256 over the windows' settings and all tokens."""
        settings = f"{self.preprocessing};{self._to.seq_len};{self._stride};{self._evaluated};"
        digest = hashlib.sha256(settings.encode())
        for block in self._tokens.blocks() if isinstance(self._tokens, RowFile) else [self._tokens]:
            digest.update(block.tobytes())
        return digest.hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of the windows."""
        return VERSION

    def _places(self, indices: Sequence[int], *, shift: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where in the text the tokens of windows are, and which of them there are."""
        windows = positions(indices, total=self._count, dataset=self.name)
        places = windows[:, np.newaxis] * self._stride + np.arange(self._to.seq_len) + shift
        inside = places < len(self._tokens)
        return np.where(inside, places, 0), inside


def _write(folder: Path, files: Sequence[Path], tokenizer: LanguageTokenizer, prefix: Sequence[int]) -> None:
    blocks = (block for file in files for block in decoded_blocks(file))
    add_array(folder / _TOKENS, np.array(prefix, np.int32))
    for tokens in token_blocks(tokenizer, blocks):
        add_array(folder / _TOKENS, tokens)
