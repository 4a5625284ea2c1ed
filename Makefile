# Everything a person or CI calls. `make` lists it.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMPS := .stamps
UV_VERSION := 0.13.9

.DEFAULT_GOAL := help
.PHONY: help run dev test lint types unit integration e2e delivery frontend-test bench soak openapi lock clean prerequisites

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(STAMPS)/engine $(STAMPS)/frontend  ## build what is missing and start everything on http://localhost:8080
	@exec $(BIN)/exchange serve --demo

dev: $(STAMPS)/engine $(STAMPS)/npm  ## the same, with the frontend's development server on http://localhost:5173
	@trap 'kill 0' EXIT; $(BIN)/exchange serve --demo & cd frontend && npm run dev

# What a fresh machine needs. Each step says what it does and is done once.

prerequisites:
	@PYTHON=$(PYTHON) ./scripts/prerequisites

$(STAMPS)/venv: requirements.lock | prerequisites
	@echo "python packages: a virtual environment in $(VENV) from requirements.lock"
	@mkdir -p $(STAMPS)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip install --quiet --require-hashes --python $(BIN)/python -r requirements.lock
	@touch $@

$(STAMPS)/engine: $(STAMPS)/venv setup.py pyproject.toml $(wildcard engine/matching/*.pyx engine/matching/*.pxd)
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
