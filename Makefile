# `make demo` and `make test` set up what they need; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# Ansible's own programs look for each other on the path.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# A C locale without UTF-8 makes Ansible refuse to start.
export LC_ALL := C.UTF-8
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export ANSIBLE_HOME := $(CURDIR)/.demo/ansible

# One more than CI has cores: what waits (for locks, leases, networks that are cut) leaves its core to another.
PYTEST_WORKERS ?= 3
SOURCES := plugins tests molecule

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /|/' | column -t -s '|'

.PHONY: demo
demo: setup-demo ## Move a real sample database out of public on a throwaway server, and prove it
	@$(BIN)/python -m tests.support.demo up
	@$(BIN)/ansible-playbook -i inventory/sandbox playbooks/rehearse.yml
	@$(BIN)/ansible-playbook -i inventory/sandbox playbooks/site.yml
	@$(BIN)/python -m tests.support.demo summary

.PHONY: test
test: lint test-unit test-property test-integration test-lab ## Everything that CI runs

.PHONY: lint
lint: setup-dev ## ansible-lint (production), yamllint, ruff, mypy
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	MYPYPATH=.ansible/collections $(BIN)/mypy -p ansible_collections.dbops.multischema.plugins
	MYPYPATH=.ansible/collections $(BIN)/mypy tests
	MYPYPATH=.ansible/collections $(BIN)/mypy molecule
	$(BIN)/yamllint --strict .
	$(BIN)/ansible-lint --strict

.PHONY: test-unit
test-unit: setup-dev ## The pure parts, without a server (seconds)
	$(BIN)/pytest tests/unit -n $(PYTEST_WORKERS)

.PHONY: test-integration
test-integration: setup-dev setup-servers ## The real playbooks on real servers, 15, 16 and 18
	$(BIN)/pytest tests/integration -n $(PYTEST_WORKERS) --dist loadgroup --durations 15

.PHONY: lab
lab: setup-dev setup-lab ## Bring up ten Debian hosts with systemd, and say what to try on them
	@$(BIN)/python -m tests.lab up

.PHONY: molecule
molecule: setup-dev setup-lab ## Every scenario on the lab's hosts, which stay up (SCENARIOS="rollback ssh" for some)
	@$(BIN)/python -m tests.lab.scenarios $(SCENARIOS)

.PHONY: test-lab
test-lab: setup-dev setup-lab  # as CI runs it: the hosts are removed at the end
	@$(BIN)/python -m tests.lab.scenarios --down

.PHONY: lab-down
lab-down: ## Remove the lab: hosts, network, images, keys and downloaded packages
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m tests.lab down --images; fi
	rm -rf .lab

.PHONY: faults
faults: setup-dev setup-servers ## Make every fault at every boundary of every step, and write docs/faults.md (minutes)
	MULTISCHEMA_FAULTS_PAGE=1 $(BIN)/pytest tests/integration/test_fault_matrix.py tests/integration/test_fault_sample.py -n $(PYTEST_WORKERS)

.PHONY: bench
bench: setup-dev ## Measure the core beside plain scripts and pg_dump, and write docs/benchmarks.md (BENCH_PARTS=tables or backups for a part)
	$(BIN)/python -m tests.benchmark

.PHONY: test-property
test-property: setup-dev setup-servers ## 200 generated schemas there and back on real servers (minutes)
	$(BIN)/pytest tests/property -n $(PYTEST_WORKERS)

.PHONY: test-property-long
test-property-long: setup-dev setup-servers ## 1,000 of them and 100 backups, others every time
	MULTISCHEMA_PROPERTY_CASES=1000 MULTISCHEMA_BACKUP_CASES=100 MULTISCHEMA_PROPERTY_SEED=random $(BIN)/pytest tests/property -n $(PYTEST_WORKERS) --timeout 3600

.PHONY: clean
clean: ## Stop the sandbox server and remove what demo and tests have made (not other environments' artifacts)
	@if [ -x $(BIN)/python ] && $(BIN)/python -c 'import psycopg2' 2>/dev/null; then $(BIN)/python -m tests.support.demo down; fi
	@if [ -d .lab ] && [ -x $(BIN)/python ]; then $(BIN)/python -m tests.lab down --images; fi
	rm -rf $(VENV) .demo .lab artifacts/sandbox .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: requirements
requirements: setup-dev ## Pin and hash requirements*.in again
	$(BIN)/python -m pip install --quiet uv
	for part in "" -demo -dev; do \
	  $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command 'make requirements' requirements$$part.in -o requirements$$part.txt; \
	done

.PHONY: setup-demo setup-dev setup-servers setup-lab
setup-demo:
	@tests/support/setup.sh python requirements-demo.txt
setup-dev:
	@tests/support/setup.sh python requirements-dev.txt
setup-servers:
	@tests/support/setup.sh servers
setup-lab:
	@tests/support/setup.sh lab
