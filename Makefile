# Each target works on a fresh clone: a target that needs the tools depends on the stamp file of the installation.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.installed
NODE_STAMP := .node/.installed
CLIENTS_STAMP := .clients/.installed
NAUTILUS_STAMP := .nautilus/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test soak validators mutants lint bench docs docs-site bundle lock

help:
	@echo "make install   install into .venv from the lock, with the hash of every file checked"
	@echo "make run       run a simulated day of paper trading by rules in about two minutes; needs no key or network"
	@echo "make test      run the tests, except the slow ones of .ci/run"
	@echo "make soak      run seven simulated days of faults and 500 kills in some minutes; SEED=, DAYS=, VENUE=spot choose them"
	@echo "make validators   install MCP validators and clients into .node and SDKs of clients into .clients and .nautilus; needs npm"
	@echo "make mutants   list changes of the risk check that no test detects; about ten minutes on one core"
	@echo "make lint      run ruff, mypy and the import rules"
	@echo "make bench     measure the speed on this machine"
	@echo "make docs      generate docs/reference.md, docs/situations.md, a part of docs/http.md and packaging/"
	@echo "make docs-site build docs/ as a web site in site/ and check every internal link"
	@echo "make bundle    build dist/ocw-mcp.mcpb, which Claude Desktop installs as an extension; needs npm"
	@echo "make lock      generate requirements.lock, after a change of pyproject.toml; needs uv"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@echo "installing into .venv (the first time takes a minute)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP)
	.venv/bin/ocw run --market sim --speed 720 --for 24h

# Compiled tests are kept for the next run, also where Python is told to write none: compiling takes seven seconds.
test: $(STAMP)
	PYTHONDONTWRITEBYTECODE= .venv/bin/pytest -n 2 --dist worksteal --durations 30

# SEED, DAYS, KILLS and VENUE reach the program as variables of the environment.
soak: $(STAMP)
	SEED='$(SEED)' DAYS='$(DAYS)' KILLS='$(KILLS)' VENUE='$(VENUE)' .venv/bin/python -m tests.support.soak

# There is no npm lock file, since it would contain addresses. package.json pins the versions.
validators: $(NODE_STAMP) $(CLIENTS_STAMP) $(NAUTILUS_STAMP)

$(NODE_STAMP): tests/validators/package.json
	@mkdir -p .node
	@cp $< .node
	npm install --prefix .node --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# Only a few slow tests need these hundred packages. A separate environment keeps them out of the lock.
$(CLIENTS_STAMP): tests/validators/clients.txt
	@test -x .clients/bin/python || $(PYTHON) -m venv .clients
	.clients/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

# nautilus_trader needs Python 3.12. Where none is installed, its test is skipped.
$(NAUTILUS_STAMP): tests/validators/nautilus.txt
	@python="$$(tests/validators/python312)" || { echo "nautilus_trader is not installed: no Python 3.12 on PATH, in pyenv or in uv"; exit 0; }; \
	set -e; test -x .nautilus/bin/python || "$$python" -m venv .nautilus; \
	.nautilus/bin/python -m pip --disable-pip-version-check -qq install -r $<; touch $@

# mutmut is not in the lock, since only this target needs it. MUTANTS selects mutants:
# make mutants MUTANTS='ocw_mcp.core.risk.sizes.*'
mutants: $(STAMP)
	@$(PIP) install --no-build-isolation -e '.[mutation]'
	.venv/bin/mutmut run --max-children 1 $(MUTANTS)
	.venv/bin/mutmut results

lint: $(STAMP)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports

bench: $(STAMP)
	.venv/bin/ocw bench --json

docs: $(STAMP)
	.venv/bin/python -m tools.reference > docs/reference.md
	.venv/bin/python -m tools.situations > docs/situations.md
	.venv/bin/python -m tools.packaging
	.venv/bin/python -m tests.support.http_api

# MkDocs is not in the lock, since only this target needs it.
docs-site: $(STAMP)
	@$(PIP) install --no-build-isolation -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict

bundle: $(STAMP) $(NODE_STAMP)
	@rm -rf build/bundle
	.venv/bin/python -m tools.packaging build/bundle
	.node/node_modules/.bin/mcpb pack build/bundle dist/ocw-mcp.mcpb

# The options omit every address. `uv.lock` and `pylock.toml` would contain those of a package index.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock
