# Everything a person or CI calls. `make` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
UV_VERSION := 0.13.9
# The certificates that the system trusts, a company's own among them.
export UV_SYSTEM_CERTS ?= true

.DEFAULT_GOAL := help
.PHONY: help run dev test lint types unit engine-checks integration system roles e2e delivery frontend-test bench bench-peers soak openapi lock clean prerequisites

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(STAMPS)/engine $(STAMPS)/frontend  ## build what is missing and start everything on http://localhost:8080
	@exec $(BIN)/exchange serve --demo

dev: $(STAMPS)/engine $(STAMPS)/npm  ## the same, with the frontend's development server on http://localhost:5173
	@trap 'kill 0' EXIT; $(BIN)/exchange serve --demo & cd frontend && npm run dev

# What a fresh machine needs. Each step says what it does and is done once.

prerequisites:
	@PYTHON=$(PYTHON) ./scripts/prerequisites

$(STAMPS)/venv: requirements.lock docker/build-requirements.lock | prerequisites
	@echo "python packages: a virtual environment in $(VENV) from requirements.lock"
	@mkdir -p $(STAMPS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements.lock -r docker/build-requirements.lock
	@touch $@

$(STAMPS)/engine: $(STAMPS)/venv setup.py pyproject.toml $(wildcard engine/*/*.pyx engine/*/*.pxd engine/*/*.pxi)
	@echo "engine: compiling"
	@$(BIN)/uv pip install --quiet --no-deps --no-build-isolation --python $(BIN)/python -e .
	@touch $@

$(STAMPS)/npm: frontend/package-lock.json | prerequisites
	@echo "frontend packages: from frontend/package-lock.json"
	@mkdir -p $(STAMPS)
	@cd frontend && npm ci --silent --no-audit --no-fund
	@touch $@

$(STAMPS)/frontend: $(STAMPS)/npm $(shell find frontend/src frontend/public frontend/index.html frontend/vite.config.ts frontend/scripts -type f 2>/dev/null)
	@echo "frontend: building"
	@cd frontend && npm run --silent build
	@touch $@

$(STAMPS)/dev: $(STAMPS)/engine requirements-dev.lock
	@echo "test packages: from requirements-dev.lock"
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements-dev.lock
	@touch $@

# Tests. `make test` runs all of them, three at a time: most wait for processes and browsers more than they compute.

TEST_JOBS := lint types frontend-test delivery engine-checks unit integration system roles e2e
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest -q

test: $(STAMPS)/dev $(STAMPS)/frontend  ## run every check and test; installs a browser and other tools where it may
	@./.ci/tools
	@$(MAKE) --no-print-directory --output-sync=target --keep-going --jobs=$(JOBS) $(TEST_JOBS)
	@echo "all checks and tests passed"

lint: $(STAMPS)/dev  ## style and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/lint-imports --no-logo

types: $(STAMPS)/dev  ## strict types
	$(BIN)/mypy

unit: $(STAMPS)/dev  ## units, properties, scenarios: no process but their own
	$(PYTEST) tests/unit tests/properties tests/scenarios tests/journals tests/simulation tests/performance --benchmark-disable

# The tests that run the fast engine, some of them shorter, on a build of it that reports every access outside of its memory
# (setup.py). Its folder has copies of the Python packages: those of yesterday go first. Captured output would hide the
# report of a fatal fault.
CHECKED := build/checked/lib
engine-checks: export CC := gcc
engine-checks: $(STAMPS)/dev  ## the engine's tests under AddressSanitizer, with allocations that fail
	@mkdir -p $(CHECKED) && find $(CHECKED) -name '*.py' -delete
	ENGINE_CHECKS=1 $(BIN)/python setup.py --quiet build
	EXCHANGE_DIFFERENTIAL_COMMANDS=2000 HYPOTHESIS_PROFILE=checked scripts/with-checked-engine \
		$(PYTEST) -k 'not reference and not empty_calls and not 64_bytes' --capture=sys --timeout 1500 -o pythonpath=$(CHECKED) tests/checked tests/scenarios tests/properties tests/journals \
		tests/unit/test_shard.py tests/unit/test_bare_book.py tests/unit/test_records.py tests/unit/test_memory_growth.py --ignore=tests/properties/test_market_data.py

integration: $(STAMPS)/dev  ## contracts and integration with a real Postgres
	$(PYTEST) tests/integration tests/contract

system: $(STAMPS)/dev $(STAMPS)/frontend  ## real exchanges, killed and restarted
	$(PYTEST) tests/system

# And every test that asks the exchange of all tests again, on one whose roles are processes of their own.
roles: $(STAMPS)/dev $(STAMPS)/frontend  ## roles apart over a real Valkey, killed and cut off
	$(PYTEST) tests/cluster
	EXCHANGE_ROLES=apart $(PYTEST) tests/system

e2e: $(STAMPS)/dev $(STAMPS)/frontend  ## a real browser
	$(PYTEST) tests/e2e

delivery: $(STAMPS)/dev  ## images, manifests, chart, monitoring
	$(PYTEST) tests/delivery

frontend-test: $(STAMPS)/npm  ## the frontend's own checks
	cd frontend && npm run --silent lint && npm run --silent typecheck && npm test --silent

soak: $(STAMPS)/dev $(STAMPS)/frontend  ## kill -9 five hundred times, 10,000 simulated runs, a million commands against the reference
	EXCHANGE_SIMULATION_SEEDS=10000 $(PYTEST) tests/simulation --timeout 3600
	EXCHANGE_KILLS=500 $(PYTEST) -s tests/system/test_kill.py
	EXCHANGE_FAULT_SECONDS=60 EXCHANGE_CLUSTER_KILLS=100 $(PYTEST) tests/system/test_faults.py tests/system/test_cluster_faults.py
	EXCHANGE_DIFFERENTIAL_COMMANDS=1000000 HYPOTHESIS_PROFILE=nightly $(PYTEST) tests/properties --timeout 7200

bench: $(STAMPS)/dev  ## measure on this machine; see docs/benchmarks.md
	PEERS=$(PEERS) $(BIN)/python -m tests.performance.order_entry
	$(BIN)/python -m tests.performance.order_path
	$(BIN)/python -m tests.performance.order_paths
	$(BIN)/python -m tests.performance.journal
	$(BIN)/python -m tests.performance.projections
	$(BIN)/python -m tests.performance.recovery
	$(BIN)/python -m tests.performance.memory --svg docs/memory.svg
	$(BIN)/python -m tests.performance.streams
	$(BIN)/python -m tests.performance.state_machine
	$(BIN)/python -m tests.performance.bare_book
	$(PYTEST) tests/performance --benchmark-only

# One of them needs a newer Python than ours may be: without that, the others are measured.
PEERS := .venv-peers
PEERS_PYTHON ?= python3.12
bench-peers: $(STAMPS)/dev  ## the other engines that `make bench` measures beside ours, apart from everything else
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(PEERS)
	$(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --group peers
	@if $(BIN)/uv venv --quiet --python $(PEERS_PYTHON) --no-python-downloads $(PEERS)/newer; then \
		$(BIN)/uv pip install --quiet --python $(PEERS)/newer/bin/python --group peers-of-python-312; \
	else echo "no $(PEERS_PYTHON): matching-engine is left out; PEERS_PYTHON=... names another"; fi

openapi: $(STAMPS)/engine  ## render the committed OpenAPI document, and the frontend's types from it
	$(BIN)/exchange openapi > openapi/openapi.json
	cd frontend && npm run --silent generate

lock: $(STAMPS)/dev  ## renew the locks from pyproject.toml
	$(BIN)/uv pip compile --universal --python-version 3.11 --quiet --generate-hashes --no-header pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --universal --python-version 3.11 --quiet --generate-hashes --no-header pyproject.toml --group dev -o requirements-dev.lock

clean:  ## remove what was built, not the data
	rm -rf $(VENV) $(STAMPS) build frontend/node_modules frontend/dist engine/*/*.so engine/*/*.c
