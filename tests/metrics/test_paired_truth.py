"""Decisions in pairs are wrong as rarely as their level says: populations whose truth is known, targets right on it."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest

_spec = importlib.util.spec_from_file_location(
    "paired_coverage", Path(__file__).parents[2] / "benchmarks" / "paired_coverage.py"
)
coverage = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = coverage
_spec.loader.exec_module(coverage)

KINDS = ("em", "f1", "perplexity", "auc", "log_loss", "map", "map50")
UNITS = 200


@pytest.fixture(scope="module")
def populations():
    """One of every kind of figure, whose differences are not so rare that samples may have none of them."""
    found = {}
    for each in coverage.populations(np.random.default_rng(7)):
        if not each.data.startswith("2 %"):
            found.setdefault(each.figure, each)
    return found


def test_every_kind_of_figure_has_a_population(populations):
    assert set(populations) == set(KINDS)


@pytest.mark.slow
@pytest.mark.parametrize("figure", KINDS)
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_a_target_that_is_met_exactly_is_passed_and_failed_as_rarely_as_the_level_says(figure, level, populations):
    """Either is wrong. Intervals that allow for unseen units, and exact ones, err less often."""
    tries = 40 if figure.startswith("map") else 250
    rng = np.random.default_rng([3, KINDS.index(figure)])
    _, passed, failed = coverage.decided(populations[figure], rng, UNITS, tries, level=level)
    most = 1 - level + 3 * math.sqrt(level * (1 - level) / tries)
    assert passed <= most
    assert failed <= most
    if level == 0.8:
        assert passed + failed > 0.05  # it does decide
