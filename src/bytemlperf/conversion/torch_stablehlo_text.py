"""Turn exported torch programs into StableHLO text: `python -m bytemlperf.conversion.torch_stablehlo_text IN OUT ...`.

It runs as a process of its own: torch-mlir aborts one in which TensorFlow is loaded, as both bring an LLVM.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch


def main(arguments: list[str]) -> None:
    """Write a text for each program.

    Args:
        arguments: Pairs of paths: a program that `torch.export.save` wrote, and the text to write.
    """
    from torch_mlir import fx  # beside TensorFlow it aborts: loaded only where this file is run

    for source, target in zip(arguments[::2], arguments[1::2], strict=True):
        program = torch.export.load(source)
        text = str(fx.export_and_import(program, output_type="stablehlo", func_name="main"))
        Path(target).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
