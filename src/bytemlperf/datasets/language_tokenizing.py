"""Tokenizers of language models: byte-level BPE by `tokenizers`, sentencepiece by its own library."""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import attrs
import numpy as np
import tokenizers
from numpy.typing import NDArray

from bytemlperf.datasets.decoding import processors
from bytemlperf.datasets.locating import read_bytes
from bytemlperf.datasets.tokenizing import FILES, configuration, found_tokenizer, read_tokenizer, token_id
from bytemlperf.errors import DatasetError, DatasetUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sentencepiece import SentencePieceProcessor
    from tokenizers import Tokenizer

    from bytemlperf.spec import ModelSpec

MODEL: Final = "tokenizer.model"
"""A sentencepiece model, as LLaMA's and ChatGLM's checkpoints have it."""
CHATGLM_TOKENS: Final = ("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop")
"""Tokens that ChatGLM2 has behind those of its sentencepiece model, in this order.

Source: THUDM/chatglm2-6b, tokenization_chatglm.py.
"""
CHATGLM_PREFIX: Final = ("[gMASK]", "sop")
"""What ChatGLM2 puts before every text; the same source."""
_ENDS: Final = ("<|endoftext|>", "</s>", "<|end_of_text|>")
"""What ends a text where no file says so: GPT-2's, LLaMA's and LLaMA 3's."""


@attrs.frozen(kw_only=True, eq=False)
class PlacedTokens:
    """A text's tokens and where each begins.

    Attributes:
        ids: int32[n].
        starts: int64[n], character of the text with which each begins, or in which.
    """

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]


class LanguageTokenizer(Protocol):
    """What data sets of texts need of a tokenizer.

    Attributes:
        size: Number of token ids.
        prefix: Ids that the model's makers put before a text; empty for none.
        end: Name of the token that ends a text; empty where it is not known.
        digest: sha256 of all that decides a token.
    """

    size: int
    prefix: tuple[int, ...]
    end: str
    digest: str

    def encode(self, text: str) -> list[int]:
        """Return a text's token ids, without any before or behind it."""

    def encode_many(self, texts: Sequence[str]) -> list[PlacedTokens]:
        """Return the tokens of each of several texts as `encode` does, and their places, on all processors."""

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens have none."""

    def token_id(self, name: str) -> int:
        """Return the id of a token by its own name, such as `<s>` or `[gMASK]`.

        Raises:
            DatasetError: If there is none.
        """


class FastTokenizer:
    """A tokenizer of the library `tokenizers`: GPT-2's byte-level BPE, or whatever a `tokenizer.json` says.

    Args:
        tokenizer: The library's; what it puts before a text, as LLaMA 3's does, is the prefix.
        end: Name of the token that ends a text; None looks for one of GPT-2's and LLaMA's.
    """

    def __init__(self, tokenizer: Tokenizer, end: str | None = None) -> None:
        """Keep it."""
        self._tokenizer = tokenizer
        self.size: int = tokenizer.get_vocab_size()
        self.prefix: tuple[int, ...] = _put_before(tokenizer)
        names = _ENDS if end is None else (end,)
        self.end = next((name for name in names if tokenizer.token_to_id(name) is not None), "")
        told = f"tokenizers {tokenizers.__version__};{tokenizer.to_str()}"
        self.digest = hashlib.sha256(told.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return a text's token ids, without special ones around it."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[PlacedTokens]:
        """Return the tokens of each of several texts and their places."""
        found = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [
            PlacedTokens(ids=np.array(each.ids, np.int32), starts=np.array(each.offsets, np.int64).reshape(-1, 2)[:, 0])
            for each in found
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens have none."""
        text: str = self._tokenizer.decode(list(ids))
        return text

    def token_id(self, name: str) -> int:
        """Return the id of a token by its name.

        Raises:
            DatasetError: If there is none.
        """
        return token_id(self._tokenizer, name)


class SentencePiece:
    """A tokenizer of the library `sentencepiece`: LLaMA's, or ChatGLM2's with its tokens behind the model's.

    Text that spells a special token is text like any other: what a data set holds cannot forge one.

    Args:
        path: Of the model.
        added: Names of tokens behind the model's own, in order.
        prefix: Names of the tokens that go before a text.

    Raises:
        DatasetUnavailableError: If the file is not there.
        DatasetError: If it is no sentencepiece model, or lacks a token of the prefix.
    """

    def __init__(self, path: Path, *, added: Sequence[str] = (), prefix: Sequence[str] = ()) -> None:
        """Read the model."""
        self._path = path
        self._pieces = _processor(path)
        own: int = self._pieces.get_piece_size()
        self._added = {name: own + number for number, name in enumerate(added)}
        self.size = own + len(added)
        self.prefix = tuple(self.token_id(name) for name in prefix)
        end: int = self._pieces.eos_id()
        self.end: str = "" if end < 0 else self._pieces.id_to_piece(end)
        told = f"sentencepiece {version('sentencepiece')};{added};"
        self.digest = hashlib.sha256(told.encode() + read_bytes(path)).hexdigest()

    def encode(self, text: str) -> list[int]:
        """Return a text's token ids."""
        ids: list[int] = self._pieces.encode(text)
        return ids

    def encode_many(self, texts: Sequence[str]) -> list[PlacedTokens]:
        """Return the tokens of each of several texts and their places."""
        found = self._pieces.encode(list(texts), out_type="serialized_proto", num_threads=processors())
        return [_placed(text, proto) for text, proto in zip(texts, found, strict=True)]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; those behind the model's, and the one for what is unknown, have none."""
        plain, unknown = self.size - len(self._added), self._pieces.unk_id()
        text: str = self._pieces.decode([int(each) for each in ids if each < plain and each != unknown])
        return text

    def token_id(self, name: str) -> int:
        """Return the id of a token by its name.

        Raises:
            DatasetError: If there is none.
        """
        if name in self._added:
            return self._added[name]
        number: int = self._pieces.piece_to_id(name)
        if self._pieces.id_to_piece(number) != name:
            raise DatasetError("the tokenizer lacks a token", where=str(self._path), got=name)
        return number


def language_tokenizer(spec: ModelSpec, path: str | None, *, beside: Path | None = None) -> LanguageTokenizer:
    """Return the tokenizer of a language model.

    It is looked for at `path`, else beside the data, else among the files of the model's own sources. A
    `tokenizer.model` is read by sentencepiece; ChatGLM's tokens are added where the model's architecture or the
    `tokenizer_config.json` beside it is ChatGLM's, and LLaMA's `<s>` goes before a text unless that file says
    otherwise (`add_bos_token`).

    Args:
        spec: The model; a source that lists a tokenizer's files is fetched.
        path: A folder, or a file of a tokenizer; None to look elsewhere.
        beside: Folder of the data.

    Raises:
        DatasetUnavailableError: If there is none; says how to name one.
        DatasetError: If its files are damaged.
        WeightsUnavailableError: If the model's source cannot be had.
    """
    names = (*FILES, MODEL)
    main = found_tokenizer(spec, path, names=names, beside=beside)
    if main is None:
        raise DatasetUnavailableError(
            f"there is no tokenizer of model {spec.name!r}",
            expected=f"one of {', '.join(names)}; vocab.json goes with merges.txt",
            remedy="name its folder or file: option `tokenizer` of the data set; the files lie beside the checkpoint",
        )
    config = configuration(main.parent)
    if main.suffix != ".model" or main.name == "spiece.model":
        return FastTokenizer(read_tokenizer(main), _end_of(config))
    if _is_chatglm(spec, config):
        return SentencePiece(main, added=CHATGLM_TOKENS, prefix=CHATGLM_PREFIX)
    return SentencePiece(main, prefix=("<s>",) if config.get("add_bos_token", True) is not False else ())


def prefix_of(tokenizer: LanguageTokenizer, begin: str | None) -> tuple[int, ...]:
    """Return the ids that go before a text.

    Args:
        tokenizer: The model's.
        begin: Names of tokens with spaces between; empty for none, None for the tokenizer's own.

    Raises:
        DatasetError: If it lacks one of them.
    """
    return tokenizer.prefix if begin is None else tuple(tokenizer.token_id(name) for name in begin.split())


def _put_before(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Return the ids that a tokenizer puts before a text by itself."""
    plain, whole = (tokenizer.encode("a", add_special_tokens=special).ids for special in (False, True))
    places = [first for first in range(len(whole)) if whole[first : first + len(plain)] == plain]
    return tuple(whole[: places[0]]) if plain and places else ()


def _end_of(config: dict[str, object]) -> str | None:
    """Return the name of the token that ends a text, as a configuration has it: alone, or with its settings."""
    told = config.get("eos_token")
    name = told.get("content") if isinstance(told, dict) else told
    return name if isinstance(name, str) else None


def _is_chatglm(spec: ModelSpec, config: dict[str, object]) -> bool:
    told = str(config.get("tokenizer_class", ""))
    return "chatglm" in told.lower() or (spec.recipe is not None and "chatglm" in spec.recipe.architecture)


def _processor(path: Path) -> SentencePieceProcessor:
    from sentencepiece import SentencePieceProcessor

    content = read_bytes(path)
    processor = SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(content)
    except Exception as error:  # the library raises plain exceptions for whatever is wrong in a file
        raise DatasetError("a tokenizer's file is no sentencepiece model", where=str(path), got=str(error)) from error
    return processor


def _placed(text: str, serialized: bytes) -> PlacedTokens:
    """Read a library's own answer, in which places are bytes of UTF-8."""
    from sentencepiece import sentencepiece_pb2 as protocol

    pieces = protocol.SentencePieceText.FromString(serialized).pieces  # type: ignore[attr-defined]
    content = np.frombuffer(text.encode(), np.uint8)
    character = np.concatenate([np.cumsum((content & 0xC0) != 0x80) - 1, [len(text)]])  # noqa: PLR2004 - the marks of a byte within a character
    starts = np.fromiter((each.begin for each in pieces), np.int64, len(pieces))
    return PlacedTokens(ids=np.fromiter((each.id for each in pieces), np.int32, len(pieces)), starts=character[starts])
