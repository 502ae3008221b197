# Each target works alone on a fresh clone: whatever needs the tools waits for the stamp of the installation.

PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check -qq
STAMP := .venv/.installed
NODE_STAMP := .node/.installed
CLIENTS_STAMP := .clients/.installed

.DEFAULT_GOAL := help
.PHONY: help install run test validators mutants lint bench docs bundle lock

help:
	@echo "make install   a virtual environment in .venv, from the lock, every file checked against its hash"
	@echo "make run       a simulated day in about two minutes, the rules trading on paper; no key, no network"
	@echo "make test      the tests, without the slow ones of .ci/run"
	@echo "make validators   the official validators of MCP, into .node, and other clients' SDKs, into .clients; needs npm"
	@echo "make mutants   which changes to the risk officer no test would notice; about ten minutes on one core"
	@echo "make lint      ruff, mypy and the floors of the house"
	@echo "make bench     how fast it is here"
	@echo "make docs      docs/reference.md and packaging/ anew, from the code"
	@echo "make bundle    dist/ocw-mcp.mcpb, which Claude Desktop installs as an extension; needs npm"
	@echo "make lock      requirements.lock anew, after a change of pyproject.toml (needs uv)"

install: $(STAMP)

$(STAMP): pyproject.toml requirements.lock
	@echo "installing into .venv (the first time takes a minute)"
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

run: $(STAMP)
	.venv/bin/ocw run --market sim --speed 720 --for 24h

test: $(STAMP)
	.venv/bin/pytest -n 2

# npm keeps no lock here: one would hold addresses. The versions are those of package.json.
validators: $(NODE_STAMP) $(CLIENTS_STAMP)

$(NODE_STAMP): tests/validators/package.json
	@mkdir -p .node
	@cp $< .node
	npm install --prefix .node --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# They bring a hundred packages, which only one slow test needs: an environment of their own keeps them out of the lock.
$(CLIENTS_STAMP): tests/validators/clients.txt
	@test -x .clients/bin/python || $(PYTHON) -m venv .clients
	.clients/bin/python -m pip --disable-pip-version-check -qq install -r $<
	@touch $@

# mutmut is not in the lock: nobody else needs it. MUTANTS can name some: make mutants MUTANTS='ocw_mcp.core.risk.sizes.*'
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
	.venv/bin/python -m ocw_mcp.app.reference > docs/reference.md
	.venv/bin/python -m ocw_mcp.app.packaging

bundle: $(STAMP) $(NODE_STAMP)
	@rm -rf build/bundle
	.venv/bin/python -m ocw_mcp.app.packaging build/bundle
	.node/node_modules/.bin/mcpb pack build/bundle dist/ocw-mcp.mcpb

# The options leave out every address: `uv.lock` and `pylock.toml` would hold those of a package index.
lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
		--extra dev pyproject.toml -o requirements.lock
