"""Texts as a model's tokens and back, and which tokens end an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from bytemlperf.datasets.language_tokenizing import language_tokenizer, prefix_of
from bytemlperf.datasets.token_inputs import TokenInputs
from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from bytemlperf.evaluation.languagemodel import Written
    from bytemlperf.spec import ModelSpec

_NAME = "lm-eval"


class Texts:
    """The tokenizer of a model, as lm-evaluation-harness uses one.

    Args:
        spec: The model.
        path: Folder of the tokenizer's files, or one of them; None looks among the files of the model's sources.
        begin: Tokens that go before a text, with spaces between; None for those that the model's makers put there.
        end: Name of the token that ends a text; None for what the tokenizer's files say.
        alone: Id of the token that stands before a text where nothing else does; None for the one that goes before
            every text, or else the one that ends them.

    Raises:
        DatasetUnavailableError: If there is no tokenizer.
        DatasetError: If its files are damaged, it lacks a token, or it is not known what ends a text.
        SpecError: If it is another model's.
    """

    def __init__(
        self, spec: ModelSpec, path: str | None, *, begin: str | None, end: str | None, alone: int | None
    ) -> None:
        """Read the tokenizer."""
        self._tokenizer = language_tokenizer(spec, path)
        self.name = re.sub(r"\W+", "_", path or spec.name)
        TokenInputs.of(spec, dataset=_NAME).check_vocabulary(self._tokenizer.size, dataset=_NAME)
        self._begin = prefix_of(self._tokenizer, begin)
        self.end_name = self._tokenizer.end if end is None else end
        if not self.end_name:
            raise DatasetError(
                "it is not known which token ends a text", expected="its name", remedy="name it: end=..."
            )
        self.end = self._tokenizer.token_id(self.end_name)
        given = self.end if len(self._begin) != 1 else self._begin[0]
        self.alone = given if alone is None else alone
        self._stops: dict[str, tuple[int, ...]] = {}

    def encode(self, text: str, *, begin: bool = True) -> list[int]:
        """Return a text's token ids, with what goes before it."""
        return [*(self._begin if begin else ()), *self._tokenizer.encode(text)]

    def text_of(self, written: Written) -> str:
        """Return the text of an answer."""
        return self._tokenizer.decode(written.tokens.tolist()) if written.text is None else written.text

    def stop_ids(self, stops: Sequence[str]) -> tuple[int, ...]:
        """Return the tokens after which an answer is over: what ends a text, and all that begin with a stop string.

        A stop string that is several tokens is found in none; what comes after it is cut off the whole answer.
        """
        return tuple(dict.fromkeys([self.end, *(token for stop in stops if stop for token in self._beginning(stop))]))

    def _beginning(self, stop: str) -> tuple[int, ...]:
        if stop not in self._stops:
            found = (number for number, text in enumerate(self._token_texts) if text.startswith(stop))
            self._stops[stop] = tuple(found)
        return self._stops[stop]

    @cached_property
    def _token_texts(self) -> list[str]:
        return [self._tokenizer.decode([number]) for number in range(self._tokenizer.size)]
