"""How much room a run takes on disk."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512
"""In which `st_blocks` counts, whatever the file system's own blocks are."""


def bytes_below(folder: Path) -> int:
    """Return the bytes that the files of a folder take on disk; 0 where it is not there.

    Links are not followed, and a file that goes while it is looked at counts for nothing.
    """
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(where, name).lstat().st_blocks * _BLOCK_BYTES
            except FileNotFoundError:
                continue
    return total
