"""How often equal things are told apart for real: a backend against itself, each pair in two fresh workers.

Prints, for each pair, the ratio and its p-value; then how many of the pairs were told apart at 5 % as two processes
(rightly, where processes of the same program differ), how many groups of five as a machine, and all pairs together.

    python benchmarks/real_aa.py [pairs] [seconds of measuring for each pair]
"""

from __future__ import annotations

import sys

import numpy as np

from bytemlperf import interleave
from bytemlperf.statistics import mean_interval
from bytemlperf.studies import Block
from bytemlperf.studies.interleaving.blocks import weigh

ALPHA = 0.05
GROUP = 5


def main(pairs: int, seconds: float) -> None:
    """Measure the pairs and print how many were told apart."""
    found: list[list[Block]] = []
    told = 0
    for number in range(pairs):
        pair = interleave(
            "digits-resnet-onnx-fp32",
            a="onnxruntime",
            b="onnxruntime",
            a_options={"threads": 1},
            b_options={"threads": 1},
            minutes=seconds / 60,
            figure="p50",
            batch_size=8,
            seed=number,
        )
        found.append(list(pair.blocks))
        told += pair.p_difference <= ALPHA
        print(f"pair {number + 1:2}: {pair.percent:+6.2f} %, {len(pair.blocks)} blocks, p = {pair.p_difference:.3f}")
    ratios = [float(np.mean([block.log_speed for block in blocks])) for blocks in found]
    interval = mean_interval(ratios)
    groups = [ratios[first : first + GROUP] for first in range(0, pairs - GROUP + 1, GROUP)]
    apart = sum(_told_apart(each) for each in groups)
    print(f"\ntold apart at {100 * ALPHA:g} % as two processes: {told} of {pairs} pairs")
    print(f"told apart at {100 * ALPHA:g} % as a machine, by {GROUP} pairs each: {apart} of {len(groups)} groups")
    mean = float(np.mean(ratios))
    print(f"all pairs: {100 * mean:+.2f} % [{100 * interval.low:+.2f}, {100 * interval.high:+.2f}]")
    print(f"standard deviation from pair to pair: {100 * float(np.std(ratios, ddof=1)):.2f} %")


def _told_apart(ratios: list[float]) -> bool:
    blocks = [
        Block(order="abba", a_ns=float(np.exp(each)), b_ns=1.0, round=number) for number, each in enumerate(ratios)
    ]
    return weigh(blocks).contrast.p_difference() <= ALPHA


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 40, float(sys.argv[2]) if sys.argv[2:] else 3.0)
