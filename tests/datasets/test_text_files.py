from __future__ import annotations

import pytest

from bytemlperf.datasets.text_files import decoded_blocks, decoded_lines
from bytemlperf.errors import DatasetError

TEXT = "é北京😀 and plain\r\nsecond\rthird\n\u2028not a line\n"


@pytest.mark.parametrize("block_bytes", [4, 5, 7, 10**6])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_pieces_make_the_text(tmp_path, block_bytes, mark):
    (tmp_path / "a.txt").write_bytes((mark + TEXT).encode())
    assert "".join(decoded_blocks(tmp_path / "a.txt", block_bytes=block_bytes)) == TEXT


def test_lines_keep_their_ends(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT.encode("utf-8-sig"))
    found = list(decoded_lines(tmp_path / "a.txt"))
    assert found == ["é北京😀 and plain\r\n", "second\r", "third\n", "\u2028not a line\n"]


@pytest.mark.parametrize("size", [0, 3, 200_001])
@pytest.mark.parametrize("read", [decoded_blocks, decoded_lines])
def test_a_byte_that_is_no_text_is_named_wherever_it_is(tmp_path, read, size):
    (tmp_path / "a.txt").write_bytes(b"\xc3\xa9" * (size // 2) + b"x" * (size % 2) + b"\xff" + b"more" * 9)
    with pytest.raises(DatasetError, match="no UTF-8 text") as caught:
        list(read(tmp_path / "a.txt"))
    assert caught.value.where == f"{tmp_path / 'a.txt'}, byte {size}"


@pytest.mark.parametrize("read", [decoded_blocks, decoded_lines])
def test_what_ends_within_a_character_or_is_missing_is_told(tmp_path, read):
    (tmp_path / "a.txt").write_bytes("é".encode()[:1])
    with pytest.raises(DatasetError, match="unexpected end of data"):
        list(read(tmp_path / "a.txt"))
    with pytest.raises(DatasetError, match="cannot be read"):
        list(read(tmp_path / "none.txt"))
