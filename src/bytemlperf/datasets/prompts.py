"""Prompts for timed runs: token ids drawn from a seed, each prompt different, of exact length within the vocabulary."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.datasets.scored import token_queries
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.sample import Array, BatchSet, Generation, Score
from bytemlperf.spec import ModelSpec
from bytemlperf.workload import Lengths, Sampling

_COLUMNS: Final = (
    ("input_tokens", "output_tokens"),
    ("ContextTokens", "GeneratedTokens"),
    ("Request tokens", "Response tokens"),
)


class Prompts(DatasetLoader):
    """Seeded prompts that ask for answers of given lengths.

    The tokens of a prompt are drawn evenly from the vocabulary, from a stream of its own: the same seed and lengths
    give the same prompts, and more of them leave the first as they are.

    Args:
        lengths: int64[n, 2], tokens of each prompt and of its answer.
        vocabulary: Exclusive upper bound of token ids.
        seed: Of the tokens.
        stop: Token ids that end an answer.
        least: Tokens that an answer has at least, where there are such; None for exactly its length.
        sampling: How each token is chosen.
    """

    name = "prompts"

    def __init__(
        self,
        lengths: NDArray[np.int64],
        *,
        vocabulary: int,
        seed: int,
        stop: tuple[int, ...] = (),
        least: int | None = None,
        sampling: Sampling | None = None,
    ) -> None:
        self._lengths, self._vocabulary, self._seed = lengths, vocabulary, seed
        self._stop, self._least = stop, least
        self._sampling = sampling or Sampling()

    @classmethod
    def of(cls, lengths: Lengths, spec: ModelSpec, *, seed: int) -> Self:
        """Make the prompts that a workload asks for.

        Raises:
            SpecError: If the model takes no tokens of a known vocabulary.
            DatasetUnavailableError: If the file of lengths is not there.
            DatasetError: If it cannot be read.
        """
        bounds = [tensor.high for tensor in spec.inputs if tensor.high is not None]
        if not bounds:
            raise SpecError(
                f"{spec.name} takes no prompts",
                where="$.prompts",
                expected="a model whose first input has a vocabulary (`high`)",
            )
        told = _lengths(lengths, seed)
        least = lengths.output[0] if lengths.stop else None
        if lengths.stop and not lengths.file:
            told[:, 1] = lengths.output[1]
        return cls(told, vocabulary=bounds[0], seed=seed, stop=lengths.stop, least=least, sampling=lengths.sampling)

    @classmethod
    def open(cls, spec: ModelSpec, options: Any) -> Self:  # noqa: ANN401 - the base class's
        """Make prompts of the default lengths."""
        del options
        return cls.of(Lengths(), spec, seed=0)

    def __len__(self) -> int:
        """Return the number of distinct prompts."""
        return len(self._lengths)

    def load(self, indices: Sequence[int]) -> Mapping[str, Array]:
        """Return `tokens`, int64 [len(indices), longest], shorter ones padded with token 0."""
        drawn = [self._drawn(index) for index in indices]
        tokens = np.zeros((len(drawn), max(map(len, drawn), default=0)), dtype=np.int64)
        for row, each in zip(tokens, drawn, strict=True):
            row[: len(each)] = each
        return {"tokens": tokens}

    def labels(self, indices: Sequence[int]) -> Array | None:  # noqa: ARG002 - the base class's
        """Return None: there is no right answer."""
        return None

    def fingerprint(self) -> str:
        """Return a sha256 over lengths, vocabulary and seed, which decide every token, and what is asked."""
        ends = f"{self._stop} {self._least} " if self._stop else ""
        drawn = _told(self._sampling)
        told = f"prompts/v1 {self._vocabulary} {self._seed} {ends}{drawn}".encode() + self._lengths.tobytes()
        return hashlib.sha256(told).hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of how prompts are drawn."""
        return "prompts/v1"

    def queries(self, most: int) -> BatchSet:
        """Return the first prompts, each a query of its own that asks for its number of tokens."""
        chosen = range(min(most, len(self)))
        return token_queries(self.texts(chosen), [self.asked(index) for index in chosen])

    def texts(self, indices: Sequence[int]) -> Sequence[NDArray[np.int64]]:
        """Return each prompt's tokens."""
        return [self._drawn(index) for index in indices]

    def scored(self, indices: Sequence[int]) -> BatchSet:
        """Return each prompt; asked is the likelihood of all its tokens but the first.

        Raises:
            SpecError: If a prompt has one token only.
        """
        rows = self.texts(indices)
        return token_queries(rows, [Score(spans=[(1, len(row))]) for row in rows], indices)

    def asked(self, index: int) -> Generation:
        """Return what is asked after a prompt."""
        most = int(self._lengths[index, 1])
        least = most if self._least is None else min(self._least, most)
        drawn = drawing(self._sampling, seed=self._seed, index=index)
        return Generation(max_new_tokens=most, min_new_tokens=least, stop=self._stop, **drawn)

    def _drawn(self, index: int) -> NDArray[np.int64]:
        stream = np.random.default_rng([self._seed, index])
        drawn: NDArray[np.int64] = stream.integers(0, self._vocabulary, int(self._lengths[index, 0]), dtype=np.int64)
        return drawn


class Drawing(TypedDict, total=False):
    """How the tokens of one answer are drawn, as `Generation` has it."""

    temperature: float
    top_k: int
    top_p: float
    seed: int


def drawing(sampling: Sampling, *, seed: int, index: int) -> Drawing:
    """Return how the answer to a prompt is drawn, from a stream of its own; nothing where that is greedy.

    Args:
        sampling: Of all prompts.
        seed: The job's, where `sampling` has none.
        index: Of the prompt.

    Example:
        >>> drawing(Sampling(temperature=0.5, top_k=3), seed=1, index=0)["top_k"]
        3
    """
    if sampling.temperature == 0:
        return {}
    stream = np.random.SeedSequence([seed if sampling.seed is None else sampling.seed, index])
    return {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "seed": int(stream.generate_state(1)[0]),
    }


def _told(sampling: Sampling) -> str:
    return f"{sampling} " if sampling.temperature else ""


def _lengths(asked: Lengths, seed: int) -> NDArray[np.int64]:
    if asked.file:
        return _read(Path(asked.file).expanduser())[: asked.samples]
    stream = np.random.default_rng([seed, 1 << 32])
    columns = [stream.integers(low, high, asked.samples, endpoint=True) for low, high in (asked.input, asked.output)]
    return np.stack(columns, axis=1).astype(np.int64)


def _read(path: Path) -> NDArray[np.int64]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            names = next((pair for pair in _COLUMNS if set(pair) <= set(table.fieldnames or ())), None)
            if names is None:
                raise DatasetError(
                    "a file of lengths has other columns",
                    where=str(path),
                    got=", ".join(table.fieldnames or ()) or "an empty file",
                    expected=" or ".join(f"{first!r} and {second!r}" for first, second in _COLUMNS),
                )
            rows = [_row(row, names, f"{path}:{table.line_num}") for row in table]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetUnavailableError("the file of lengths cannot be read", where=str(path), got=str(error)) from error
    if not rows:
        raise DatasetError("a file of lengths has no row", where=str(path))
    return np.array(rows, dtype=np.int64)


def _row(row: Mapping[str, str], names: tuple[str, str], where: str) -> tuple[int, int]:
    try:
        first, second = (int(row[name]) for name in names)
    except (TypeError, ValueError) as error:
        raise DatasetError("a length is no whole number", where=where, got=[row[name] for name in names]) from error
    if min(first, second) < 1:
        raise DatasetError("a length is below 1", where=where, got=(first, second))
    return first, second


class TextPrompts(DatasetLoader):
    """The texts of another data set as prompts; its labels say nothing of what is generated.

    Args:
        loader: Whose samples are texts.
        lengths: Of the answers.
        seed: Of draws, where `lengths` has none.

    Raises:
        SpecError: If its samples are no texts.
    """

    def __init__(self, loader: DatasetLoader, lengths: Lengths, *, seed: int = 0) -> None:
        if loader.texts(range(min(1, len(loader)))) is None:
            raise SpecError(
                f"the samples of data set {loader.name!r} are no prompts",
                where="$.dataset",
                expected="a data set of texts, such as 'text' or 'multiple-choice'",
            )
        self._loader, self._lengths, self._seed, self.name = loader, lengths, seed, loader.name

    @classmethod
    def open(cls, spec: ModelSpec, options: object) -> NoReturn:  # noqa: ARG003 - there is nothing to open
        """Refuse: prompts are made from a loader.

        Raises:
            SpecError: Always.
        """
        raise SpecError("prompts of texts are not opened by name", remedy="make them: TextPrompts(loader, lengths)")

    def __len__(self) -> int:
        """Return the number of prompts."""
        return len(self._loader)

    def load(self, indices: Sequence[int]) -> Mapping[str, Array]:
        """Return inputs as the data set does."""
        return self._loader.load(indices)

    def labels(self, indices: Sequence[int]) -> Array | None:  # noqa: ARG002 - the base class's
        """Return None: there is no right answer."""
        return None

    def ids(self, indices: Sequence[int]) -> tuple[str, ...]:
        """Return the samples' own names."""
        return self._loader.ids(indices)

    def fingerprint(self) -> str:
        """Return a sha256 over the data set and the answers' lengths."""
        drawn = _told(self._lengths.sampling) and f" {self._seed} {self._lengths.sampling}"
        told = f"text-prompts/v1 {self._loader.fingerprint()} {self._lengths.output} {self._lengths.stop}{drawn}"
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def preprocessing(self) -> str:
        """That of the data set."""
        return self._loader.preprocessing

    @property
    def skipped(self) -> Sequence[str]:
        """Those of the data set."""
        return self._loader.skipped

    def texts(self, indices: Sequence[int]) -> Sequence[Array]:
        """Return each prompt's tokens."""
        found = self._loader.texts(indices)
        assert found is not None, "looked at when these were made"
        return found

    def queries(self, most: int) -> BatchSet:
        """Return the first prompts, each a query of its own."""
        chosen = range(min(most, len(self)))
        return token_queries(self.texts(chosen), [self.asked(index) for index in chosen])

    def asked(self, index: int) -> Generation:
        """Return what is asked after a prompt: without a token that ends it, an answer has the larger length."""
        low, high = self._lengths.output
        return Generation(
            max_new_tokens=high,
            min_new_tokens=low if self._lengths.stop else high,
            stop=self._lengths.stop,
            **drawing(self._lengths.sampling, seed=self._seed, index=index),
        )
