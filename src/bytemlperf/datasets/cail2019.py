"""Similar case matching of CAIL2019: of two legal cases, which is more similar to a third."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.cail2019_files import LAYOUT, NAMES, Tokens, Triplet, read_arrays, read_triplets
from bytemlperf.datasets.chinese_words import WordTokens
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import PAIR
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.tokenizing import model_tokenizer, token_id
from bytemlperf.errors import DatasetUnavailableError
from bytemlperf.spec.fields import choice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec

VERSION: Final = "cail2019-pairs/v2"
"""Any change of a token is another version."""
Cut = Callable[[str], Iterable[str]]
"""Cuts a text into words."""


class Words(StrEnum):
    """How a text is cut into words before those that the vocabulary lacks are cut further."""

    JIEBA = "jieba"
    """As RoFormer's checkpoints were trained: jieba without its hidden Markov model."""
    CHARACTERS = "characters"
    """Not at all: every character is a word."""


def _as_words(value: str | Words) -> Words:
    return choice(Words)(value)


@attrs.frozen(kw_only=True)
class CailOptions(FileOptions):
    """Where the triplets and the model's vocabulary are.

    Attributes:
        tokenizer: Folder of the vocabulary (`vocab.txt`), or the file; not needed for the original's arrays.
        words: `jieba` or `characters`.
        skip_unusable: Leave out lines that cannot be used, and count them, in the place of refusing the file.
    """

    tokenizer: str | None = None
    words: Words = attrs.field(default=Words.JIEBA, converter=_as_words)
    skip_unusable: bool = False


class PairTokens:
    """Tokens of the pairs of triplets, made when they are asked for.

    Source: bert4keras' `Tokenizer.encode`, with which ByteMLPerf made its arrays: words of the vocabulary stay whole;
        of the longer text (of equal ones the first) the last tokens are dropped, one by one, until both fit.
    """

    def __init__(self, triplets: Sequence[Triplet], tokenizer: Tokenizer, cut: Cut | None, *, seq_len: int) -> None:
        """Take texts.

        Args:
            triplets: Of the texts.
            tokenizer: Of the vocabulary.
            cut: Into words; None for characters.
            seq_len: Tokens of a pair.
        """
        self._triplets = triplets
        self._tokenizer = tokenizer
        self._words = None if cut is None else WordTokens(tokenizer.get_vocab(), cut)
        self._seq_len = seq_len
        self._begin, self._end = token_id(tokenizer, "[CLS]"), token_id(tokenizer, "[SEP]")

    def pair(self, index: int) -> tuple[list[int], list[int]]:
        """Return ids and types of a pair: even ones are the more similar pair of a triplet."""
        triplet = self._triplets[index // 2]
        first = [self._begin, *self._ids(triplet.case), self._end]
        second = [*self._ids(triplet.other if index % 2 else triplet.similar), self._end]
        while len(first) + len(second) > self._seq_len:
            (first if len(first) > len(second) else second).pop(-2)  # the first has one token more around it
        return first + second, [0] * len(first) + [1] * len(second)

    def _ids(self, text: str) -> list[int]:
        if self._words is not None:
            return self._words.ids(text)
        normalizer = self._tokenizer.normalizer
        plain = text if normalizer is None else normalizer.normalize_str(text)
        return list(self._tokenizer.encode(plain, add_special_tokens=False).ids)


class Cail2019(DatasetLoader):
    """Pairs of cases, two for each triplet: the more similar pair, then the other; labels are of dtype `PAIR`.

    `load` gives token ids and segments, [n, seq_len], filled up with 0, in the type that the model takes them in.
    Texts are kept and tokenized when they are asked for; the original's arrays are kept. The last `held_out` triplets
    are for calibration.

    Source: C. Xiao et al., CAIL2019-SCM: A Dataset of Similar Case Matching in Legal Domain, arXiv:1911.08962.
    """

    name = "cail2019"
    options_type = CailOptions
    metrics = ("triplet_accuracy",)

    def __init__(
        self,
        pairs: PairTokens | Tokens,
        count: int,
        *,
        to: TokenInputs,
        evaluated: int | None = None,
        content: str,
        skipped: Sequence[str] = (),
    ) -> None:
        """Take what was read.

        Args:
            pairs: Of the triplets to evaluate, then of those for calibration.
            count: Number of triplets.
            to: What the model takes.
            evaluated: How many triplets are evaluated; None for all.
            content: Digest of the data.
            skipped: Lines that were left out, and why.
        """
        self._pairs = pairs
        self._count = count
        self._to = to
        self._evaluated = count if evaluated is None else evaluated
        self._content = content
        self._skipped = tuple(skipped)

    @classmethod
    def open(cls, spec: ModelSpec, options: CailOptions) -> Self:
        """Read the triplets.

        Raises:
            DatasetUnavailableError: If they, the vocabulary or jieba are missing.
            DatasetError: If a line or an array cannot be used.
            SpecError: If the model takes no such inputs.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT, names=NAMES)
        pairs: PairTokens | Tokens
        skipped: tuple[str, ...] = ()
        if path.suffix == ".npy":
            pairs = read_arrays(path.parent)
            count, content = len(pairs.ids) // 2, _digest(*pairs.ids, *pairs.types)
        else:
            triplets, skipped = read_triplets(path, skip=options.skip_unusable)
            tokenizer = model_tokenizer(spec, options.tokenizer, beside=path.parent)
            to.check_vocabulary(tokenizer.get_vocab_size(), dataset=cls.name)
            cut = jieba_cut() if options.words is Words.JIEBA else None
            pairs, count = PairTokens(triplets, tokenizer, cut, seq_len=to.seq_len), len(triplets)
            content = _digest(f"{options.words}{tokenizer.to_str()}{triplets}")
        evaluated = split_off(count, options.held_out, dataset=cls.name)
        return cls(pairs, count, to=to, evaluated=evaluated, content=content, skipped=skipped)

    def __len__(self) -> int:
        """Return the number of pairs to evaluate."""
        return 2 * self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return token ids and segments of pairs.

        Raises:
            DatasetError: If there is no such pair.
        """
        chosen = self._checked(indices).tolist()
        ids, types, mask = (np.zeros((len(chosen), self._to.seq_len), np.int32) for _ in range(3))
        for row, index in enumerate(chosen):
            tokens, segments = self._tokens(index)
            length = min(len(tokens), self._to.seq_len)
            ids[row, :length], types[row, :length], mask[row, :length] = tokens[:length], segments[:length], 1
        return self._to.arrays(ids, mask, types)

    def labels(self, indices: Sequence[int]) -> NDArray[np.void]:
        """Return which triplet each pair is of, and whether it is the more similar one: [n] of dtype `PAIR`."""
        chosen = self._checked(indices)
        labels = np.empty(len(chosen), PAIR)
        labels["triplet"], labels["similar"] = chosen // 2, chosen % 2 == 0
        return labels

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return `<triplet>/similar` and `<triplet>/other`."""
        return tuple(f"{index // 2}/{'other' if index % 2 else 'similar'}" for index in self._checked(indices).tolist())

    def calibration(self) -> range:
        """Return the indices of the pairs that are held out."""
        return range(2 * self._evaluated, 2 * self._count)

    def fingerprint(self) -> str:
        """Return a sha256 over the preprocessing, the split and all texts or tokens."""
        text = f"{self.preprocessing};{self._to.seq_len};{self._evaluated};{self._content}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of how pairs become tokens."""
        return VERSION

    @property
    def skipped(self) -> Sequence[str]:
        """Lines that cannot be used."""
        return self._skipped

    def _tokens(self, index: int) -> tuple[Sequence[int] | NDArray[np.int32], Sequence[int] | NDArray[np.int32]]:
        if isinstance(self._pairs, Tokens):
            return self._pairs.ids[index], self._pairs.types[index]
        return self._pairs.pair(index)

    def _checked(self, indices: Sequence[int]) -> NDArray[np.int64]:
        return positions(indices, total=2 * self._count, dataset=self.name)


def jieba_cut() -> Cut:
    """Return what cuts Chinese into words as RoFormer's checkpoints were trained.

    Raises:
        DatasetUnavailableError: If jieba is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its release of 2020 warns of escapes and of pkg_resources
            import jieba
    except ImportError as error:
        remedy = "install bytemlperf[cail], or choose words='characters'"
        raise DatasetUnavailableError("jieba is not installed", remedy=remedy) from error
    jieba.setLogLevel(logging.WARNING)
    return lambda text: jieba.cut(text, HMM=False)


def _digest(*parts: str | NDArray[np.int32]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else len(part).to_bytes(8, "little") + part.tobytes())
    return digest.hexdigest()
