"""Prompts for timed runs: token ids drawn from a seed, each prompt different, of exact length within the vocabulary."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from bytemlperf.datasets.base import DatasetLoader
from bytemlperf.errors import DatasetError, DatasetUnavailableError, SpecError
from bytemlperf.sample import Array, BatchSet, Generation
from bytemlperf.spec import ModelSpec
from bytemlperf.workload import Lengths

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
    """

    name = "prompts"

    def __init__(self, lengths: NDArray[np.int64], *, vocabulary: int, seed: int) -> None:
        self._lengths, self._vocabulary, self._seed = lengths, vocabulary, seed

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
        return cls(_lengths(lengths, seed), vocabulary=bounds[0], seed=seed)

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
        """Return a sha256 over lengths, vocabulary and seed, which decide every token."""
        told = f"prompts/v1 {self._vocabulary} {self._seed} ".encode() + self._lengths.tobytes()
        return hashlib.sha256(told).hexdigest()

    @property
    def preprocessing(self) -> str:
        """Name and version of how prompts are drawn."""
        return "prompts/v1"

    def queries(self, most: int) -> BatchSet:
        """Return the first prompts, each a query of its own that asks for exactly its number of tokens."""
        count = min(most, len(self))
        chosen = range(count)
        return BatchSet(
            inputs={"tokens": self.load(chosen)["tokens"][:, None]},
            size=1,
            padding=np.zeros(count, dtype=np.int64),
            samples=np.arange(count, dtype=np.int64)[:, None],
            lengths=self._lengths[:count, 0],
            asks=tuple(
                Generation(max_new_tokens=int(output), min_new_tokens=int(output))
                for output in self._lengths[chosen, 1]
            ),
        )

    def _drawn(self, index: int) -> NDArray[np.int64]:
        stream = np.random.default_rng([self._seed, index])
        drawn: NDArray[np.int64] = stream.integers(0, self._vocabulary, int(self._lengths[index, 0]), dtype=np.int64)
        return drawn


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
