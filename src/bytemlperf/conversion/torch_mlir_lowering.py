"""Lower exported torch programs to StableHLO, as a program of its own.

torch-mlir and TensorFlow bring the same compiler library with the same global options: whoever loads both into one
process is aborted. So this file is run by an interpreter that loads nothing else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch


def lower(programs: Sequence[tuple[Path, Path]]) -> None:
    """Write the text of each program.

    Args:
        programs: File of `torch.export.save`, and the file to write.
    """
    from torch_mlir import fx

    for source, target in programs:
        text = fx.export_and_import(torch.export.load(source), output_type="stablehlo", func_name="main")
        target.write_text(str(text), encoding="utf-8")


if __name__ == "__main__":
    paths = [Path(each) for each in sys.argv[1:]]
    lower(list(zip(paths[::2], paths[1::2], strict=True)))
