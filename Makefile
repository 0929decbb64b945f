# SPDX-License-Identifier: Apache-2.0
# Two commands matter: "make demo" and "make test". Both work on a fresh Debian or Ubuntu, as root
# or with passwordless sudo, and on any machine that has Docker and Python 3.10 or later.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.10; do \
    $$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
MLCUBE_REMOTE := $(BIN)/mlcube-remote
STATE := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)
INVENTORY := $(STATE)/mlcube-remote/sandbox/hosts.yaml
AS_ROOT := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo -n)
APT_INSTALL := $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
SHELL_FILES = $(shell find mlcube_remote tests examples benchmarks -name '*.sh') \
    mlcube_remote/sandbox/images/host/sandbox-host .ci/run

# Programs that the tests run here, each with the Debian package that has it.
TEST_PROGRAMS := bash=bash busybox=busybox dash=dash fish=fish git=git tcsh=tcsh

.PHONY: help demo test lint unit bench engine test-programs clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile

demo: .venv/installed engine ## Run two examples on throw-away SSH hosts on this machine
	$(MLCUBE_REMOTE) sandbox up --hosts 2
	$(MLCUBE_REMOTE) run --inventory "$(INVENTORY)" --host=sandbox --mlcube=examples/hello_world --task=hello
	$(MLCUBE_REMOTE) run --inventory "$(INVENTORY)" --host=sandbox1 --mlcube=examples/mnist --task=download,train
	@echo
	@echo 'Outputs of both hosts:  examples/hello_world/results/'
	@echo 'Outputs of sandbox1:    examples/mnist/workspace/'
	@echo 'The hosts you have now:  $(MLCUBE_REMOTE) hosts list --inventory $(INVENTORY)'
	@echo 'When you have seen enough:  $(MLCUBE_REMOTE) sandbox down'

test: .venv/dev engine test-programs lint ## Everything that must hold: linters, then all tests
	TESTCONTAINERS_RYUK_DISABLED=true $(BIN)/pytest --cov --cov-report=term --cov-fail-under=90

lint: .venv/dev ## Formatting, linters, types, layers, shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck $(SHELL_FILES)

unit: .venv/dev ## Only the tests that need no engine
	$(BIN)/pytest tests/unit

bench: .venv/dev engine ## Measure against plain ssh and rsync
	$(BIN)/python benchmarks/run.py

engine:
	@sh mlcube_remote/sandbox/ensure_engine.sh

test-programs:
	@missing=; for each in $(TEST_PROGRAMS); do \
	    command -v "$${each%%=*}" >/dev/null 2>&1 || missing="$$missing $${each#*=}"; \
	done; \
	[ -z "$$missing" ] || { $(AS_ROOT) apt-get update -qq && $(APT_INSTALL) $$missing >/dev/null; }

# Debian's python3 comes without ensurepip, which stands in python3-venv.
.venv/bin/python:
	@[ -n "$(PYTHON)" ] || { echo 'Python 3.10 or later is needed; run: sudo apt-get install python3' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { $(AS_ROOT) apt-get update -qq && $(APT_INSTALL) python3-venv >/dev/null; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/dev: .venv/bin/python setup.cfg
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@ .venv/installed

clean: ## Remove the sandbox, the virtual environment and all caches
	[ ! -x $(MLCUBE_REMOTE) ] || $(MLCUBE_REMOTE) sandbox down
	rm -rf .venv build dist htmlcov *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
