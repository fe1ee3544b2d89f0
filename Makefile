# make          build the environments (AiiDA, engines, pw.x if there is none, pseudopotentials)
# make demo     the whole chain on brucite, in a profile of its own; results in demo/
# make test     the test-suite
# make lint     ruff and mypy
# make docs     the documentation, in docs/_build/html
# make clean    remove what the demo and the tools wrote; `make distclean` the environments too
#
# PYTHON=...    the Python (3.11 or newer) to build the environments with
# PIP=1         use plain pip even where uv is available
# ARGS=...      further words for aiida-mlip-ins demo or pytest
# WORKERS=3     tests run in so many processes side by side (two leave a fifth of two cores idle), a
#               file in one, in the given order: by default xdist ends with the longest file
SHELL := /bin/bash
PYTHON ?= python3
WORKERS ?= 3
ENVS := .envs
BIN := $(ENVS)/aiida/bin
# the environments hold their own packages, whatever the caller's shell points to
CLEAN := env -u PYTHONPATH -u PYTHONHOME -u PYTHONDONTWRITEBYTECODE -u VIRTUAL_ENV
BUILD := $(CLEAN) $(PYTHON) -m aiida_mlip_ins.cli.environments --into $(ENVS) $(if $(PIP),--pip)
RUN := $(CLEAN) PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: all python aiida demo test lint docs clean distclean

all: python
	@$(BUILD)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11'; exit 1; }

aiida: python
	@$(BUILD) aiida

demo: all
	@$(RUN) AIIDA_PATH="$(CURDIR)/.demo" aiida-mlip-ins demo --new-profile demo $(ARGS)

test: all
	@$(RUN) python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: aiida
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy

docs: aiida
	@$(RUN) sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo 'docs/_build/html/index.html'

clean:
	@if [ -d .demo ] && [ -x $(BIN)/verdi ]; then \
		$(RUN) AIIDA_PATH="$(CURDIR)/.demo" verdi daemon stop >/dev/null 2>&1 || true; fi
	rm -rf .demo demo docs/_build .mypy_cache .pytest_cache .ruff_cache

distclean: clean
	rm -rf $(ENVS) aiida_mlip_ins.egg-info
