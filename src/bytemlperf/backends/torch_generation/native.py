"""The compiled product of float32 activations and float16 weights, made once on the machine that runs it."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import torch

HalfLinear = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes weights, float16 [out, in], and activations, float32 [rows, in]; returns float32 [rows, out]."""

_SOURCES: Final = tuple(Path(__file__).with_name(name) for name in ("half_linear.c", "half_tiles.c"))
_HEADER: Final = Path(__file__).with_name("half_tiles.h")
_FLAGS: Final = ("-O3", "-march=native", "-fopenmp", "-fPIC", "-std=gnu11")
_NEEDS: Final = ("avx2", "fma", "f16c")


@cache
def half_linear(folder: Path, without: tuple[str, ...] = ()) -> HalfLinear | None:
    """Return the compiled product, or None where this machine cannot have it.

    It takes an x86-64 processor with AVX2, FMA and F16C, a C compiler (`CC`, else `cc`) and the OpenMP library that
    torch came with, so that both share one pool of threads. The library is kept in `folder` by what decides it.

    Bound: products are added up in 8 partial sums of float32 (16 with AVX-512), so that an output differs from the
    exact one by less than (in / 8 + 4) * 2**-24 times the sum of the products' magnitudes. Where there are tiles (AMX),
    33 rows or more are multiplied by them, as sums of bfloat16 parts: less than (in / 6 + 20) * 2**-24 times that sum.

    Args:
        folder: Where the library is kept; made where it is not there.
        without: What of the processor is left alone, by the compiler's name for it (`amx-tile`, `avx512f`).
    """
    openmp, compiler = _openmp(), shutil.which(os.environ.get("CC", "cc"))
    if openmp is None or compiler is None or not _capable():
        return None
    try:
        flags = (*_FLAGS, *(f"-mno-{each}" for each in without))
        return _bound(_library(folder, flags, compiler, openmp))
    except (OSError, subprocess.SubprocessError):
        return None


def _capable() -> bool:
    if platform.machine() != "x86_64":
        return False
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    line = next((each for each in flags.splitlines() if each.startswith("flags")), "")
    return set(_NEEDS) <= set(line.split())


def _openmp() -> Path | None:
    found = sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*"))
    return found[0] if found else None


def _library(folder: Path, flags: Sequence[str], compiler: str, openmp: Path) -> Path:
    """Compile the sources unless they were; written whole or not at all."""
    told = [each.read_text(encoding="utf-8") for each in (*_SOURCES, _HEADER)]
    identity = "\n".join([*told, " ".join(flags), compiler, str(openmp), _processor()])
    path = folder / f"half_linear-{hashlib.sha256(identity.encode()).hexdigest()[:16]}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            made = [Path(scratch) / f"{each.stem}.o" for each in _SOURCES]
            linked = Path(scratch) / "half_linear.so"
            for source, to in zip(_SOURCES, made, strict=True):
                _run(compiler, *flags, "-c", str(source), "-o", str(to))
            _run(compiler, "-shared", *map(str, made), str(openmp), "-o", str(linked))
            linked.replace(path)
    return path


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((each for each in lines if each.startswith("flags")), "")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=120)  # noqa: S603 - the compiler of this machine


def _bound(path: Path) -> HalfLinear:
    library = ctypes.CDLL(str(path))
    call, needs = library.half_linear, library.half_linear_room
    call.argtypes, call.restype = [*[ctypes.c_void_p] * 4, *[ctypes.c_long] * 3, ctypes.c_int], None
    needs.argtypes, needs.restype = [*[ctypes.c_long] * 2, ctypes.c_int], ctypes.c_long
    kept = threading.local()  # a new one for each call costs the system more than it seems: its pages

    def room(bytes_: int) -> torch.Tensor:
        if getattr(kept, "room", None) is None or kept.room.nbytes < bytes_:
            kept.room = torch.empty(bytes_, dtype=torch.uint8)  # begins at a line of the cache
        found: torch.Tensor = kept.room
        return found

    def product(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        outputs, width = weight.shape
        count, threads = rows.shape[0], torch.get_num_threads()
        answer = torch.empty(count, outputs)
        scratch = room(needs(width, count, threads))
        call(
            weight.data_ptr(), rows.data_ptr(), answer.data_ptr(), scratch.data_ptr(),
            outputs, width, count, threads,
        )  # fmt: skip
        return answer

    return product


TILE_ROWS: Final = 512
"""Weight rows that are widened at a time; measured best of 128 to 2,048 on two cores."""


def tiled_linear() -> HalfLinear:
    """Return the product in plain torch: weights widened tile by tile into one reused float32 buffer."""
    buffers: dict[int, torch.Tensor] = {}

    def product(weight: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        outputs, width = weight.shape
        if width not in buffers:
            buffers[width] = torch.empty(TILE_ROWS, width)
        answer = torch.empty(rows.shape[0], outputs)
        for start in range(0, outputs, TILE_ROWS):
            stop = min(start + TILE_ROWS, outputs)
            tile = buffers[width][: stop - start]
            tile.copy_(weight[start:stop])
            answer[:, start:stop] = rows @ tile.t()
        return answer

    return product
