# One word per job; the same words in README, CONTRIBUTING and .ci/run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help setup demo test check bench soak release audit format pins clean

help:           ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

setup: $(VENV)/.dev  ## everything a contributor needs, in .venv

demo: $(VENV)/.base  ## meters, mesh, gateway, head-end and a prepaid customer, on embedded servers
	$(BIN)/ohmesh demo $(DEMO_ARGS)

test: $(VENV)/.dev   ## all tests: unit, property, simulation, integration, browser
	$(BIN)/python -m pytest -m "not soak" $(TEST_ARGS)

check: $(VENV)/.dev  ## lint, format, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/architecture

bench: $(VENV)/.dev  ## all benchmarks; prints one JSON line each
	$(BIN)/python benchmarks/run.py $(BENCH_ARGS)

soak: $(VENV)/.dev   ## the long fault and fuzz runs
	$(BIN)/python -m pytest -m soak --timeout 7200 $(TEST_ARGS)

release: $(VENV)/.dev ## the wheel and the bill of its parts, the same octets wherever it is made
	PYTHON=$(BIN)/python sh deploy/release.sh

audit: $(VENV)/.dev  ## known holes in the pinned packages; asks the package index
	$$(dirname "$$(sh requirements/tools.sh release)")/pip-audit -r requirements/base.txt --disable-pip --require-hashes

format: $(VENV)/.dev ## rewrite the code in the project's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pins: $(VENV)/.dev   ## resolve requirements/*.txt anew from pyproject.toml
	$(PIP_INSTALL) uv
	sh requirements/pins.sh $(BIN)/uv

clean:          ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: requirements/base.txt pyproject.toml | $(BIN)/python
	@echo "setting up $(VENV) (once) ..."
	$(PIP_INSTALL) --require-hashes -r requirements/base.txt
	$(PIP_INSTALL) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.base | $(BIN)/python
	@echo "setting up the development tools in $(VENV) (once) ..."
	$(PIP_INSTALL) --require-hashes -r requirements/dev.txt
	sh deploy/setup-test-machine.sh
	@touch $@
