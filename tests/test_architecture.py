"""The drawing of the house cannot drift from the code."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import grimp
import pytest
from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]
OWN = {"onnx": {"onnx"}, "tf": {"keras", "tensorflow"}, "torch": {"torch"}}
FRAMEWORKS = {"keras", "onnx", "onnxruntime", "onnxscript", "tensorflow", "torch"}


@pytest.fixture
def loggers_kept():
    """The checker's own set-up of logging disables every logger that is there: give them back to the other tests."""
    before = {name: logger for name, logger in logging.root.manager.loggerDict.items() if hasattr(logger, "disabled")}
    enabled = [logger for logger in before.values() if not logger.disabled]
    yield
    for logger in enabled:
        logger.disabled = False


@pytest.mark.usefixtures("loggers_kept")
def test_every_import_contract_holds():
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph(
        "bytemlperf", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


@pytest.mark.parametrize("folder", ["conversion", "zoo.architectures"])
def test_a_file_imports_only_the_frameworks_it_is_named_after(graph, folder):
    modules = [name for name in graph.modules if name.startswith(f"bytemlperf.{folder}.")]
    assert modules
    for module in modules:
        own = set().union(*(OWN.get(word, set()) for word in module.rpartition(".")[2].split("_")))
        foreign = graph.find_modules_directly_imported_by(module) & FRAMEWORKS - own
        assert not foreign, f"{module} imports {sorted(foreign)}"


def test_no_module_has_a_name_that_says_nothing():
    vague = {"common", "core", "helpers", "info", "manager", "misc", "utils"}
    found = [str(path.relative_to(ROOT)) for path in (ROOT / "src").rglob("*") if path.stem in vague]
    assert not found


def test_ci_runs_what_everybody_runs():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").rstrip().endswith("make test")
