# make demo   the main job, on the embedded model     make test      the environment and the suite
# make env    the environment alone                   make lint      formatter, linters, types, floors
# make bench  speed against transformers              make nightly   slow proofs and downloaded models
PYTHON ?= python3
BIN := .venv/bin
MODELS ?= .models

.PHONY: env demo test lint bench nightly compare-env clean

env: .venv/.installed

.venv/.installed: pyproject.toml tools/install-simulators
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Codesign needs Python 3.11 or newer; say which with make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[test]'
	sh tools/install-simulators
	touch $@

demo: env
	$(BIN)/codesign demo

test: env
	$(BIN)/python -m pytest -q -n 2

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright --level error
	$(BIN)/lint-imports --no-cache

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis
