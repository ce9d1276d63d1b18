# `make` alone lists the commands. Each sets up by itself what it needs.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
ARGS ?=

# Two workers, as a small machine has cores; a module that must stay together names its group.
PYTEST_WORKERS ?= 2

.PHONY: help setup dev demo test check format generate bench bench-quality simulate chaos mutants examples fuzz soak overload nightly locks docs

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@echo
	@echo '  More for a command through ARGS: make demo ARGS="--seed 7 --serve", make test ARGS="-k join"'

setup: ## .venv with driftbus in it, everything pinned: .venv/bin/driftbus
	@tools/setup.sh run

dev: ## the same, with what checks and tests need
	@tools/setup.sh dev

demo: setup ## the whole loop on this machine: drift, retrain, recovery, against the truth
	@$(BIN)/driftbus demo $(ARGS)

test: dev ## all tests, on a real Kafka, Prometheus and browser, which it installs
	@tools/real_parts.sh
	@$(BIN)/python -m pytest -n $(PYTEST_WORKERS) --dist loadgroup -m "not nightly" $(ARGS)

check: dev ## format, lint, types, import contracts, schemas, lengths of files
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python tools/file_lengths.py
	@$(BIN)/python tools/generated.py

format: dev ## put every file into its format
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: dev ## speed: the protocol of benchmarks/performance, printed as a table
	@tools/real_parts.sh
	@$(BIN)/python -m benchmarks.performance $(ARGS)

simulate: dev ## the real worker on a bus in memory, 100,000 seeded schedules of what may go wrong
	@$(BIN)/python -m tests.simulation $(ARGS)

chaos: dev ## workers and broker of a real Kafka killed and frozen for 15 minutes (ARGS="--minutes 60 --seed 1")
	@$(BIN)/python -m tests.chaos $(ARGS)

mutants: dev ## bugs put into a copy of the tree, one at a time: which test notices each, as a table
	@$(BIN)/python -m tests.mutants $(ARGS)

examples: dev ## what meets MLflow, Weights & Biases and Comet, with their real clients
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-examples.lock
	@$(BIN)/python -m pytest examples -n $(PYTEST_WORKERS) $(ARGS)

fuzz: dev ## atheris over everything that reads bytes, a minute each (ARGS="--seconds 600 restored")
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-fuzz.lock
	@$(BIN)/python -m tests.fuzz $(ARGS)

soak: dev ## half an hour at 80 % of a worker's capacity: memory, files, lag (ARGS="--minutes 10 --share 0.5")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

overload: dev ## half a minute at three times a worker's capacity: nothing lost, memory bounded, recovery
	@$(BIN)/python -m benchmarks.soak --overload $(ARGS)

bench-quality: dev ## detection: every suite of benchmarks/quality in its quick form, printed as tables
	@$(BIN)/python -m benchmarks.quality $(or $(ARGS),--quick)

nightly: dev ## what takes hours: the demo for twenty seeds, and other long tests
	@tools/real_parts.sh
	@$(BIN)/python -m pytest -m nightly $(ARGS)

docs: dev ## the documentation as a site in build/site, every link checked (ARGS=--serve: at http://localhost:8000)
	@$(BIN)/python tools/site.py $(ARGS)

generate: dev ## write anew what is generated: schemas/, the dashboard, docs' tables
	@$(BIN)/python tools/generated.py --write

locks: dev ## newest versions of everything into requirements*.lock
	@tools/locks.sh
