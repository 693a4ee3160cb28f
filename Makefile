# SPDX-License-Identifier: Apache-2.0
# Every target makes its own .venv; only python3 (3.11 or newer, with venv) is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all lint bench bench-quantization docs tools clean

## demo: build the keyword-spotting example for a Cortex-M4 board and verify it in emulation (pip only)
demo:
	$(PYTHON) scripts/demo.py

## test: install what the tests need, then lint, types and tests
test: .venv/dev tools lint
	$(BIN)/python -m pytest -n auto -m "not slow"

## test-all: the same with the slow matrices
test-all: .venv/dev tools lint
	$(BIN)/python -m pytest -n auto

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

## bench: measure sizes and instructions again, and rewrite the tables
bench: .venv/dev
	$(BIN)/python benchmarks/run.py

## bench-quantization: the quantizer beside TensorFlow's and litert-quantizer, over five seeds where networks are trained (about 3 GB of packages)
bench-quantization: .venv/dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check scikit-learn pillow
	$(BIN)/python benchmarks/quantization.py --seeds 1 2 3 4 5
	$(BIN)/python benchmarks/digits_seeds.py

## docs: generate the reference pages and build the site into site/
docs: .venv/dev
	$(BIN)/python docs/generate.py
	$(BIN)/mkdocs build --strict

## tools: compilers and emulators from Debian that the tests use
tools:
	sh scripts/install-tools.sh

.venv/dev: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build dist site demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
