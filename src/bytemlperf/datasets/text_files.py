"""Text files read piece by piece, so that memory is that of a piece."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final

from bytemlperf.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BLOCK_BYTES: Final = 2**16
_BYTE_ORDER_MARK: Final = "\ufeff"


def decoded_blocks(path: Path, *, block_bytes: int = _BLOCK_BYTES) -> Iterator[str]:
    """Yield a text file's content piece by piece, as `read_text` returns it whole.

    Raises:
        DatasetError: If it cannot be read, or is no UTF-8 text; says at which byte.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = 0
    for block in _blocks(path, block_bytes):
        begun = len(decoder.getstate()[0])
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            where = f"{path}, byte {at - begun + error.start}"
            raise DatasetError("a file is no UTF-8 text", where=where, got=str(error.reason)) from None
        yield text.removeprefix(_BYTE_ORDER_MARK) if at == 0 else text
        at += len(block)


def _blocks(path: Path, block_bytes: int) -> Iterator[bytes]:
    """Yield a file's bytes, and nothing at its end."""
    try:
        with path.open("rb") as file:
            while block := file.read(block_bytes):
                yield block
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error
    yield b""


def decoded_lines(path: Path, *, newline: str = "") -> Iterator[str]:
    """Yield a text file's lines with their ends; only one line is in memory at a time.

    Args:
        path: The file.
        newline: What ends a line; empty for a newline, a carriage return or both.

    Raises:
        DatasetError: If it cannot be read, or is no UTF-8 text; says at which byte.
    """
    try:
        with path.open(encoding="utf-8-sig", newline=newline) as file:
            yield from file
    except OSError as error:
        raise DatasetError("a file cannot be read", where=str(path), got=str(error)) from error
    except UnicodeDecodeError:
        for _ in decoded_blocks(path):  # it says at which byte of the file, and not of what was read last
            pass
        raise


def text_lines(path: Path) -> Iterator[str]:
    """Yield what `read_lines` returns: lines without what ends them, a newline, perhaps after a carriage return.

    Raises:
        DatasetError: As `decoded_lines`.
    """
    return (line.removesuffix("\n").removesuffix("\r") for line in decoded_lines(path, newline="\n"))
