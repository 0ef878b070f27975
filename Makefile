# The one list of commands. `make` alone prints it.
STACK ?= local
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup up live preview destroy output ops status down test lint bench e2e story bench-dump bench-live clean

help: ## print this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'
	@echo
	@echo "  STACK=dev|training|prod make preview   the same against the emulator, for another stack"

setup: $(READY) ## make the virtual environment with the pinned requirements

$(READY): requirements.txt requirements-dev.txt constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ": name another with make PYTHON=python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@echo "installing the pinned requirements into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

up: $(READY) ## bring up the stack on this machine: emulator, PostgreSQL, resources, client configuration
	@$(BIN)/python -m local up --stack $(STACK)

live: $(READY) ## up, with servers that serve: prints an https address and the first login (Linux, root)
	@$(BIN)/python -m local live --stack $(STACK) $(ARGS)

preview: $(READY) ## show what `up` would change
	@$(BIN)/python -m local preview --stack $(STACK) $(ARGS)

destroy: $(READY) ## delete the stack's resources; says which snapshots, file systems and keys stay
	@$(BIN)/python -m local destroy --stack $(STACK)

output: $(READY) ## print the stack's outputs
	@$(BIN)/python -m local output --stack $(STACK) $(ARGS)

ops: $(READY) ## a day-2 command against this machine's cloud: make ops ARGS="--help"
	@$(BIN)/python -m local ops $(ARGS)

status: $(READY) ## what runs on this machine for this project
	@$(BIN)/python -m local status

down: $(READY) ## stop servers, emulator and PostgreSQL; their data stays in .local/
	@$(BIN)/python -m local down

test: $(READY) ## run every test
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lint: $(READY) ## ruff, mypy (strict), and actionlint where it can run
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy .
	@$(BIN)/python -m tests.workflows.actionlint

bench: $(READY) ## time up and preview as whole processes
	@$(BIN)/python -m tests.bench

bench-dump: $(READY) ## time `ops dump` and `ops load` beside Odoo's own zip
	@$(BIN)/python -m tests.bench_dump

e2e: $(READY) ## real servers, a browser, and all that may go wrong (Linux, root; 20 minutes)
	@$(BIN)/python -m pytest tests/e2e --ignore tests/e2e/test_the_story.py --durations=15 $(ARGS)

story: $(READY) ## development, production and training from a first configuration to a drill (Linux, root)
	@$(BIN)/python -m pytest -s tests/e2e/test_the_story.py $(ARGS)

bench-live: $(READY) ## simulated people on the sized servers, for docs/performance.md (Linux, root)
	@$(BIN)/python -m tests.bench_live

clean: ## stop what runs, then remove everything that these commands made
	@test ! -x $(BIN)/python || $(BIN)/python -m local down
	@rm -rf $(VENV) .local dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
