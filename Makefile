# make demo: from a bare machine to a scorecard. make test: everything that must hold.
# Both make the virtual environment, install and fetch what they need, once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
CACHE ?= $(HOME)/.cache/interview-scoring
KEY := $(shell cat pyproject.toml configs/constraints.txt | sha256sum | cut -c1-16)
VENV ?= $(CACHE)/venv-$(KEY)
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip install --quiet --disable-pip-version-check -c configs/constraints.txt
RECORDING ?=
export BENTOML_DO_NOT_TRACK := True
export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: demo test bench lint help
.DEFAULT_GOAL := help

help:
	@echo "make demo [RECORDING=file]  score a recording (the sample if none is named)"
	@echo "make test                   lint, types, layers and tests"
	@echo "make bench                  the numbers, beside the peers"

$(RUN):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; found $$($(PYTHON) --version 2>&1). Name one: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || { rm -rf $(VENV); \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    apt-get update -qq && apt-get install -y -qq python3.11-venv && $(PYTHON) -m venv $(VENV); \
	  else echo "venv is missing. Run: sudo apt-get install -y python3.11-venv"; exit 1; fi; }

$(VENV)/serve.stamp: | $(RUN)
	@echo "installing what serving needs (minutes the first time)"
	@$(PIP) -e '.[serve]'
	@touch $@

$(VENV)/dev.stamp: | $(RUN)
	@echo "installing what training, serving and tests need (minutes the first time)"
	@$(PIP) -e '.[serve,train,dev]'
	@touch $@ $(VENV)/serve.stamp

$(VENV)/bench.stamp: | $(RUN)
	@echo "installing that, and the usual stack it is measured beside (minutes the first time)"
	@$(PIP) -e '.[serve,train,dev,bench]'
	@touch $@ $(VENV)/dev.stamp $(VENV)/serve.stamp

demo: $(VENV)/serve.stamp
	@$(RUN) -m data setup
	@$(RUN) -m serving demo $(if $(RECORDING),--recording "$(RECORDING)")

test: $(VENV)/dev.stamp
	@$(RUN) -m data setup
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy
	@$(RUN) -m pytest

lint: $(VENV)/dev.stamp
	@$(RUN) -m ruff format .
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m mypy

bench: $(VENV)/bench.stamp
	@$(RUN) -m data setup
	@$(RUN) -m bench
