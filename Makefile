# SPDX-License-Identifier: Apache-2.0
# The main targets are "demo" and "test". Both work on a new Debian or Ubuntu, as root or with
# passwordless sudo, and on any machine with Docker and Python 3.10 or later.

BIN := .venv/bin
MLCUBE_REMOTE := $(BIN)/mlcube-remote
STATE := $(or $(XDG_STATE_HOME),$(HOME)/.local/state)
INVENTORY := $(STATE)/mlcube-remote/sandbox/hosts.yaml
AS_ROOT := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo -n)
APT_INSTALL := $(AS_ROOT) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --retries 3 --timeout 60
# The tests start the program hundreds of times. Without compiled modules, a start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE
SHELL_FILES = $(shell find mlcube_remote scripts tests examples benchmarks -name '*.sh') \
    $(wildcard mlcube_remote/sandbox/images/host/sandbox-*) \
    $(wildcard mlcube_remote/sandbox/images/slurm*/sandbox-*) .ci/run

# Programs that the tests run on this machine, as PROGRAM=DEBIAN-PACKAGE.
TEST_PROGRAMS := bash=bash busybox=busybox chromium=chromium dash=dash fish=fish git=git \
    kinit=krb5-user softhsm2-util=softhsm2 tcc=tcc tcsh=tcsh zsh=zsh \
    /usr/sbin/krb5kdc=krb5-kdc /usr/sbin/kadmin.local=krb5-admin-server
# The same for the benchmark.
BENCH_PROGRAMS := parallel=parallel rsync=rsync strace=strace xargs=findutils

.PHONY: help demo test lint unit fuzz docs docs-reference dist bench engine test-images test-programs test-checkers bench-programs clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile

demo: .venv/installed engine ## Run two examples on disposable SSH hosts on this machine
	$(MLCUBE_REMOTE) sandbox up --hosts 2
	$(MLCUBE_REMOTE) run --inventory "$(INVENTORY)" --host=sandbox --mlcube=examples/hello_world --task=hello
	$(MLCUBE_REMOTE) run --inventory "$(INVENTORY)" --host=sandbox1 --mlcube=examples/mnist --task=download,train
	@echo
	@echo 'Outputs of both hosts:  examples/hello_world/results/'
	@echo 'Outputs of sandbox1:    examples/mnist/workspace/'
	@echo 'List the hosts:          $(MLCUBE_REMOTE) hosts list --inventory $(INVENTORY)'
	@echo 'Remove the hosts:        $(MLCUBE_REMOTE) sandbox down'

# Most tests wait for hosts, so two processes share even one core well.
test: .venv/dev test-images test-programs test-checkers lint ## Run the linters, then all tests
	TESTCONTAINERS_RYUK_DISABLED=true $(BIN)/pytest --numprocesses=2 --dist=loadfile --durations=20 \
	    --cov --cov-report=term --cov-fail-under=90

lint: .venv/dev ## Check formatting, style, types, layers, sizes, words and shell scripts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks/*.py
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_sizes.py mlcube_remote
	$(BIN)/python scripts/check_words.py
	$(BIN)/shellcheck $(SHELL_FILES)

unit: .venv/dev test-checkers ## Run only the tests that need no engine
	$(BIN)/pytest tests/unit

# Set MINUTES=30 to fuzz longer, and READERS='cube hosts' to fuzz only some.
MINUTES := 5

fuzz: .venv/dev ## Feed damaged files and answers to all readers, for some minutes
	$(BIN)/python -m tests.fuzz $(MINUTES) $(READERS)

docs-reference: .venv/installed ## Write docs/reference/command-line.md and the JSON Schemas
	$(BIN)/python scripts/generate_cli_reference.py
	$(BIN)/python scripts/generate_schemas.py

# Set REPOSITORY=https://HOST/OWNER/NAME, so that links to other files of the repository work.
docs: .venv/docs ## Write the documentation as a site to build/site; a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b dirhtml -d build/doctrees docs build/site
	@echo 'The site: build/site/index.html'

dist: .venv/dev ## Build the packages for PyPI; REPOSITORY=https://HOST/OWNER/NAME is needed
	@[ -n "$(REPOSITORY)" ] || { echo 'dist: set the address: make dist REPOSITORY=https://HOST/OWNER/NAME' >&2; exit 2; }
	rm -rf dist
	REPOSITORY='$(REPOSITORY)' $(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*

# A normal install, because an editable one starts more slowly. Set BENCH='hosts logs' to run only
# these parts, or BENCH=all to run all.
bench: .venv/installed engine bench-programs ## Compare with plain ssh, rsync, Ansible and others; takes long
	rm -rf build/bench-venv
	$(BIN)/python -m venv build/bench-venv
	build/bench-venv/bin/pip install --quiet --retries 3 . docker psutil
	[ -x build/ansible-venv/bin/ansible-playbook ] || { \
	    $(BIN)/python -m venv build/ansible-venv && \
	    build/ansible-venv/bin/pip install --quiet --retries 3 ansible-core; }
	build/bench-venv/bin/python benchmarks/bench.py --ansible build/ansible-venv/bin/ansible-playbook $(BENCH)

# The processes of the tests would build the same images at the same time.
test-images: .venv/dev engine
	$(BIN)/python -m tests.support.build_images

engine:
	@sh mlcube_remote/sandbox/ensure_engine.sh

test-programs: PROGRAMS = $(TEST_PROGRAMS)
bench-programs: PROGRAMS = $(BENCH_PROGRAMS)

test-programs bench-programs:
	@missing=; for each in $(PROGRAMS); do \
	    command -v "$${each%%=*}" >/dev/null 2>&1 || missing="$$missing $${each#*=}"; \
	done; \
	[ -z "$$missing" ] && exit; \
	command -v apt-get >/dev/null || { echo "programs that are needed here are not installed:$$missing" >&2; exit 1; }; \
	$(AS_ROOT) apt-get update -qq && $(APT_INSTALL) $$missing >/dev/null

# Programs from PyPI that check what is written for others. The validator needs older libraries than
# users have, and of the package with axe-core, only its script is used. rocrate 0.15 has the
# context of RO-Crate 1.1.
test-checkers: build/checkers/installed

build/checkers/installed:
	PYTHON='$(PYTHON)' sh scripts/make_venv.sh build/checkers
	build/checkers/bin/pip install --quiet --disable-pip-version-check --retries 3 --timeout 60 \
	    'roc-validator==0.13.*' 'rocrate==0.15.*'
	build/checkers/bin/pip install --quiet --disable-pip-version-check --retries 3 --timeout 60 \
	    --no-deps 'axe-playwright-python==0.1.*'
	@touch $@

# venv creates pip last: without it, a folder is incomplete and is created again.
.venv/bin/pip:
	PYTHON='$(PYTHON)' sh scripts/make_venv.sh .venv

.venv/installed: setup.cfg | .venv/bin/pip
	$(PIP_INSTALL) --editable .
	@touch $@

.venv/docs: setup.cfg | .venv/bin/pip
	$(PIP_INSTALL) --editable '.[docs]'
	@touch $@ .venv/installed

.venv/dev: setup.cfg | .venv/bin/pip
	$(PIP_INSTALL) --editable '.[dev]'
	@touch $@ .venv/installed

clean: ## Remove the sandbox, the virtual environment and all caches
	[ ! -x $(MLCUBE_REMOTE) ] || $(MLCUBE_REMOTE) sandbox down
	rm -rf .venv build dist htmlcov *.egg-info .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
