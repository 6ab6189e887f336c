# Every target sets up $(VENV) by itself; it needs python3 (3.10 or later), git, and a package index.
# Another Python: make test PYTHON=python3.12 VENV=.venv-3.12

PYTHON ?= python3
VENV ?= .venv
LIVEKIT ?= $(VENV)-livekit
# Most tests wait for real sockets rather than compute, so six share two cores well.
WORKERS ?= 6
ARGS ?=

READY := $(VENV)/.ready
RUN := $(VENV)/bin/python -m

.DEFAULT_GOAL := help
.PHONY: test-livekit help demo conversation test test-slow test-all check format interop chaos dev serve lock clean

help: ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(READY) ## a whole phone call on this machine, no account needed (ARGS="--script barge-in")
	@$(RUN) bridge demo $(ARGS)

test: $(READY) ## the tests, on this Python
	$(RUN) pytest -n $(WORKERS) --dist worksteal -m "not slow" $(ARGS)

test-slow: $(READY) ## the tests that take longer: whole calls, several processes, a browser
	$(RUN) pytest -n $(WORKERS) --dist worksteal -m slow $(ARGS)

test-all: ## both on every Python from 3.10 to 3.13 that is found
	tools/test-all

bench: $(READY) ## all benchmarks beside their peers (ARGS=--quick, ARGS="agent stall")
	$(RUN) benchmarks $(ARGS)

test-livekit: $(LIVEKIT)/.ready ## types and tests of the LiveKit plugin, beside LiveKit
	$(LIVEKIT)/bin/python -m mypy --config-file tests/compat/mypy.ini
	$(LIVEKIT)/bin/python -m pytest -n $(WORKERS) tests/compat $(ARGS)

check: $(READY) ## format, lint, types, architecture
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	$(RUN) pytest -q tests/test_architecture.py

conversation: $(READY) ## hold calls with real audio and print how they felt (ARGS="--short --peer")
	$(RUN) conversation $(ARGS)

format: $(READY) ## put the code in the project's format
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

interop: $(READY) ## clients that we did not write, against our simulator
	interop/run

chaos: $(READY) ## calls while processes, Redis and the database die; needs redis-server, postgresql
	@$(RUN) tests.chaos $(ARGS)

dev: $(READY) ## set up everything a developer needs
	@echo "ready: $$($(VENV)/bin/python -V) in $(VENV); next: make test"

serve: $(READY) ## the app on this machine, with the settings of the environment
	@$(RUN) bridge serve $(ARGS)

lock: $(READY) ## write requirements*.txt anew from the ranges in pyproject.toml
	tools/lock $(ARGS)

clean: ## remove what the targets made, environments included
	rm -rf .venv .venv-* .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info demo-call

$(LIVEKIT)/.ready: requirements-dev.txt requirements-livekit.txt pyproject.toml
	@tools/setup "$(PYTHON)" "$(LIVEKIT)" requirements-livekit.txt
	@touch $@

$(READY): requirements-dev.txt pyproject.toml
	@tools/setup "$(PYTHON)" "$(VENV)"
	@touch $@
