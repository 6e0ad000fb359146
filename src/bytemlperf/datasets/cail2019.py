"""Similar case matching of CAIL2019: of two legal cases, which is more similar to a third."""

from __future__ import annotations

import hashlib
import logging
import warnings
from enum import StrEnum
from typing import TYPE_CHECKING

import attrs
import numpy as np

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.cail2019_files import LAYOUT, NAMES
from bytemlperf.datasets.cail2019_pairs import VERSION, Cut, KeptPairs, pairs_of_arrays, pairs_of_texts
from bytemlperf.datasets.indexing import positions
from bytemlperf.datasets.labels import PAIR
from bytemlperf.datasets.locating import FileOptions, located, split_off
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.datasets.tokenizing import model_tokenizer
from bytemlperf.errors import DatasetUnavailableError
from bytemlperf.spec.fields import choice

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from numpy.typing import NDArray

    from bytemlperf.sample import Array
    from bytemlperf.spec import ModelSpec


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


class Cail2019(DatasetLoader):
    """Pairs of cases, two for each triplet: the more similar pair, then the other; labels are of dtype `PAIR`.

    `load` gives token ids and segments, [n, seq_len], filled up with 0, in the type that the model takes them in. The
    last `held_out` triplets are for calibration. Texts are read once, line by line, and pairs are kept in the cache as
    tokens, of which only those that are asked for are read: memory does not grow with the triplets.

    Source: C. Xiao et al., CAIL2019-SCM: A Dataset of Similar Case Matching in Legal Domain, arXiv:1911.08962.
    """

    name = "cail2019"
    options_type = CailOptions
    metrics = ("triplet_accuracy",)

    def __init__(self, pairs: KeptPairs, *, to: TokenInputs, evaluated: int | None = None) -> None:
        """Take pairs.

        Args:
            pairs: Of the triplets to evaluate, then of those for calibration.
            to: What the model takes.
            evaluated: How many triplets are evaluated; None for all.
        """
        self._pairs = pairs
        self._count = len(pairs) // 2
        self._to = to
        self._evaluated = self._count if evaluated is None else evaluated

    @classmethod
    def open(cls, spec: ModelSpec, options: CailOptions) -> Self:
        """Read the triplets, as pairs in their binary form where they were read before.

        Raises:
            DatasetUnavailableError: If they, the vocabulary or jieba are missing.
            DatasetError: If a line or an array cannot be used.
            SpecError: If the model takes no such inputs.
            ArtifactError: If the cache cannot be written.
        """
        to = TokenInputs.of(spec, dataset=cls.name)
        path = located(options, dataset=cls.name, layout=LAYOUT, names=NAMES)
        if path.suffix == ".npy":
            pairs = pairs_of_arrays(path.parent, cache=options.cache)
        else:
            tokenizer = model_tokenizer(spec, options.tokenizer, beside=path.parent)
            to.check_vocabulary(tokenizer.get_vocab_size(), dataset=cls.name)
            pairs = pairs_of_texts(
                path,
                tokenizer,
                jieba_cut() if options.words is Words.JIEBA else None,
                seq_len=to.seq_len,
                words=options.words,
                skip=options.skip_unusable,
                cache=options.cache,
            )
        return cls(pairs, to=to, evaluated=split_off(len(pairs) // 2, options.held_out, dataset=cls.name))

    def __len__(self) -> int:
        """Return the number of pairs to evaluate."""
        return 2 * self._evaluated

    def load(self, indices: Sequence[int]) -> dict[str, Array]:
        """Return token ids and segments of pairs.

        Raises:
            DatasetError: If there is no such pair.
        """
        chosen = self._checked(indices)
        ids, types, mask = (np.zeros((len(chosen), self._to.seq_len), np.int32) for _ in range(3))
        pairs = zip(self._pairs.ids.rows(chosen), self._pairs.types.rows(chosen), strict=True)
        for row, (tokens, segments) in enumerate(pairs):
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
        text = f"{self.preprocessing};{self._to.seq_len};{self._evaluated};{self._pairs.content}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of how pairs become tokens."""
        return VERSION

    @property
    def skipped(self) -> Sequence[str]:
        """Lines that cannot be used."""
        return self._pairs.skipped

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
