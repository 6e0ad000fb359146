# `make run` and `make test` need git, Python 3.11 to 3.13 and make; everything else is installed into .venv.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
OUT ?= runs/digits
# A thread each: tests run side by side, and threads that spin for each other's cores make them several times slower.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto
PYTEST_ARGS ?=

# The first interpreter that starts and fits; `make PYTHON=/path/to/python3.12 ...` chooses another.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
ifndef PYTHON
PYTHON := $(shell for python in python3.11 python3; do \
	"$$python" -c '$(SUPPORTED)' >/dev/null 2>&1 && { echo "$$python"; break; }; done)
endif

.PHONY: help
help: ## Show this list.
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 18

.PHONY: run
run: $(VENV)/installed ## Install, then evaluate the digits model on onnxruntime; the report is shown and kept in runs/digits.
	$(BIN)/bytemlperf run digits-resnet-onnx-fp32 --backend onnxruntime --batch-sizes 1,8,32 --clients 1,2 --out $(OUT)

.PHONY: test
test: check docs ## Install, then run every check: format, lint, types, import contracts, documentation, tests and examples.
	$(PYTEST) -m "not slow" $(PYTEST_ARGS)

.PHONY: test-all
test-all: check docs ## The same with the slow tests, and with the coverage of branches measured.
	$(PYTEST) --cov --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

.PHONY: check
check: $(VENV)/installed-dev ## The checks that run no test: format, lint, types, import contracts.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: docs
docs: $(VENV)/installed-dev ## Build the documentation into site/; a warning is an error.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

.PHONY: clean
clean: ## Remove what make made, the environment and the runs included.
	rm -rf $(VENV) build dist site runs htmlcov .coverage .coverage.* coverage.xml
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# Stamps: a second call does not install again unless the project's file or the tested set has changed.
$(VENV)/installed: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing bytemlperf and the frameworks into $(VENV): minutes, and some GB."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing bytemlperf, the frameworks and the checks into $(VENV): minutes, and some GB."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/installed

$(VENV)/bin/python:
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { echo \
		"bytemlperf needs Python 3.11, 3.12 or 3.13, and $(or $(PYTHON),neither python3.11 nor python3) is none of them." \
		"Install one, or name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
