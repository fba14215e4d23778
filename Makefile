# Each target sets up what it needs in .venv and then does one thing:
#   make fit    train on the embedded lesions (ARGS="--data PATH --class MEL" for your own)
#   make test   lint, types, import rules, tests
#   make quick  linters and a subset of the tests: before each commit
#   make test-min  a subset on the lowest versions of all dependencies
#   make bench  time and memory of a generator step, here and on other simulators, into docs/results/simulation
#   make docs   build the documentation into build/docs
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# What a first look needs: one class, narrow networks, a few minutes on two cores.
FIT_DEFAULT := --preset quick --class melanoma
# One test of each kind: numbers, circuits, engines, data, models, commands.
QUICK := tests/contract tests/circuits/test_families.py tests/simulation/test_estimator.py tests/data/test_known_layouts.py tests/cli/test_help.py

.PHONY: fit test quick test-min lint bench docs clean

fit: $(VENV)/.run
	$(BIN)/python -m qgan_qiskit.cli fit $(if $(ARGS),$(ARGS),$(FIT_DEFAULT))

test: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(ARGS)

quick: $(VENV)/.test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -q -m "not process and not slow" $(QUICK)

test-min: $(VENV)-min/.test
	OMP_NUM_THREADS=1 $(VENV)-min/bin/python -m pytest -n 2 -q -m "not process and not slow" $(QUICK)

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/bench.py $(ARGS)

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W -b html docs build/docs

# A stamp per set of extras: installed once, and again when pyproject.toml changes.
# What the first pages of the README need.
$(VENV)/.run: EXTRAS := [draw,hardware,metrics]
$(VENV)/.test: EXTRAS := [test,lint]
$(VENV)/.bench: EXTRAS := [bench]
$(VENV)/.docs: EXTRAS := [docs]
$(VENV)/.run $(VENV)/.test $(VENV)/.bench $(VENV)/.docs: pyproject.toml setup.cfg | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".$(EXTRAS)"
	touch $@

# uv is the installer that can take the lowest versions that pyproject.toml allows.
$(VENV)-min/.test: pyproject.toml setup.cfg
	$(PYTHON) -m venv $(VENV)-min
	$(VENV)-min/bin/python -m pip install --quiet uv
	VIRTUAL_ENV=$(VENV)-min $(VENV)-min/bin/uv pip install --quiet --resolution lowest-direct --editable ".[test]"
	touch $@

$(BIN)/python:
	$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11), 'Python 3.11 or newer is needed: make PYTHON=python3.11'"
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

clean:
	rm -rf $(VENV) $(VENV)-min build
