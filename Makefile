# Lakegate: every target makes the environment it needs, and is quick when run again.
PYTHON ?= python3
PORT ?= 8400
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
ONCE_FLAG := $(if $(filter 1 yes true,$(ONCE)),--once,)

.PHONY: help demo test test-unit test-seam test-service test-e2e coverage lint check check-main check-search check-hda check-quotas check-compute check-harvest check-operate bench clean

help: ## Say what the targets do
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Lakegate needs Python 3.11 or newer; name one by: make PYTHON=python3.12"; exit 1; }
	@echo "Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "Python has no venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check uv

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/uv
	@echo "Installing Lakegate with what the demo needs (a minute or two, once) ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/uv
	@echo "Installing Lakegate with what its tests need (a minute or two, once) ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraints constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo ## Run the main job on this machine (ONCE=1: end after the tour; PORT=8400)
	@$(BIN)/lakegate demo --port $(PORT) $(ONCE_FLAG)

test: $(VENV)/.dev ## Pass all tests, in JOBS=2 processes
	@echo "Running all tests; make test-unit runs those that start no servers ..."
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

coverage: $(VENV)/.dev ## Pass all tests and tell which lines they went through; slower by half
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --cov --cov-report=term:skip-covered $(ARGS)

test-unit: $(VENV)/.dev ## Pass the tests that start no servers
	@$(BIN)/python -m pytest tests/unit $(ARGS)

test-seam: $(VENV)/.dev ## Pass the tests of every implementation of every seam
	@$(BIN)/python -m pytest tests/seam $(ARGS)

test-service: $(VENV)/.dev ## Pass the tests of one room against real servers
	@$(BIN)/python -m pytest tests/service $(ARGS)

test-e2e: $(VENV)/.dev ## Pass the tests of the whole house
	@$(BIN)/python -m pytest tests/e2e $(ARGS)

lint: $(VENV)/.dev ## Check style, types and the import contract
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: test lint ## What CI runs

bench: $(VENV)/.dev ## Run the benchmarks; results also as JSON in benchmarks/results
	@$(BIN)/python -m benchmarks $(ARGS)

check-main: $(VENV)/.dev ## Show the whole main job in a fresh clone, with its figures last
	@$(BIN)/python tests/check_main.py $(ARGS)

check-search: $(VENV)/.dev ## Show the harmonised search in a fresh clone, with its figures last
	@$(BIN)/python tests/check_search.py $(ARGS)

check-hda: $(VENV)/.dev ## Show harmonised data access in a fresh clone, with its figures last
	@$(BIN)/python tests/check_hda.py $(ARGS)

check-quotas: $(VENV)/.dev ## Show identity and group quotas in a fresh clone, with their figures last
	@$(BIN)/python tests/check_quotas.py $(ARGS)

check-compute: $(VENV)/.dev ## Show compute at the data in a fresh clone, with its figures last
	@$(BIN)/python tests/check_compute.py $(ARGS)

check-harvest: $(VENV)/.dev ## Show harvests in a fresh clone, with their figures last
	@$(BIN)/python tests/check_harvest.py $(ARGS)

check-operate: $(VENV)/.dev ## Show charts, operator and several replicas in a fresh clone, with their figures last
	@$(BIN)/python tests/check_operate.py $(ARGS)

clean: ## Remove the environment and caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
