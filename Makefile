# `make` prints every target with its line.
PYTHON ?= python3
VENV ?= .venv
SEED ?= 0
DEMO ?= demo/seed$(SEED)
PIP_FLAGS ?=
# A worker a core; a file's tests stay together, and share what they made.
PARALLEL ?= -n auto --dist loadfile

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install check lint types format test test-all demo clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv with the pinned packages; again only when they change

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the pinned packages into $(VENV): a minute or more"
	@# torch first and pinned: left to the resolver it could come twice, in gigabytes.
	$(BIN)/pip install -q -c constraints.txt $(PIP_FLAGS) "$$(grep '^torch==' constraints.txt)"
	PYTHONWARNINGS=ignore $(BIN)/pip install -q -c constraints.txt $(PIP_FLAGS) -e '.[dev]'
	@touch $@

check: lint types ## everything but the tests: lint and types

lint: $(STAMP) ## ruff, its formatter, and the floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

types: $(STAMP) ## mypy, strict, on the three packages
	$(BIN)/mypy

format: $(STAMP) ## rewrite the sources as ruff wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(STAMP) ## the fast tests: minutes, no network
	$(BIN)/python -m pytest $(PARALLEL)

test-all: $(STAMP) ## also the slow ones and those on real data
	$(BIN)/python -m pytest $(PARALLEL) -m 'slow or not slow'

demo: export PRUNE_RUNS := $(DEMO)/runs
demo: $(STAMP) ## train, prune and compare a toy model in demo/; SEED=1 for another one
	@# a database that the user named elsewhere is none of the demo's
	env -u PRUNE_DB $(BIN)/prune sweep toy seed=$(SEED)
	env -u PRUNE_DB $(BIN)/prune report --pareto --out $(DEMO)/report

clean: ## remove caches and build output; runs, demo and .venv stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
