# cnnkit: every target sets up .venv when it is missing. `make` alone prints this help.
PROFILE ?= smoke
WORKERS ?=
EXPERIMENT ?=
export CNNKIT_PROFILE := $(PROFILE)
PYTHON ?= python3
CNNKIT := .venv/bin/python -m cnnkit

.DEFAULT_GOAL := help
.PHONY: help quickstart test notebooks sweeps search results verify reproduce site doctor lint lab bench clean

help:  ## print this help
	@echo "cnnkit: a laboratory for convolutional neural networks. Targets:"
	@sed -n 's/^\([a-z]*\):.*## /  make \1|/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null || sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)
	@echo "Variables: PROFILE=smoke|full (now $(PROFILE)), EXPERIMENT=name, WORKERS=n, CNNKIT_DATA_DIR=folder of .npz files."

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "cnnkit needs Python 3.11 to 3.13 as $(PYTHON): TensorFlow 2.21 has no build for others. Say PYTHON=python3.12, for example."; exit 1; }
	@echo "Setting up .venv (about a minute) ..."
	@test -x .venv/bin/python || $(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

quickstart: .venv/ready  ## LeNet-5 and a small sweep on digits, offline: table and plot in under 3 minutes
	$(CNNKIT) sweep quickstart --profile smoke

test: .venv/ready  ## all tests, offline
	.venv/bin/python -m pytest

notebooks: .venv/ready  ## run every notebook top to bottom in PROFILE (full ones replace the committed outputs)
	$(CNNKIT) notebooks --profile $(PROFILE)

sweeps: .venv/ready  ## run EXPERIMENT (all when empty) in PROFILE on WORKERS
	$(CNNKIT) sweep $(EXPERIMENT) --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS))

search: .venv/ready  ## random, Bayesian and Hyperband search over one space in PROFILE
	$(CNNKIT) search --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS))

results: .venv/ready  ## rebuild tables, figures, claims and the gallery from the rows
	$(CNNKIT) results

verify: .venv/ready  ## re-run a seeded sample of committed rows, re-derive every figure and verdict, compare
	$(CNNKIT) verify

reproduce: .venv/ready  ## train everything again from nothing in reproduced/, with an estimate first, and compare
	$(CNNKIT) reproduce $(if $(WORKERS),--workers $(WORKERS))

site: .venv/ready  ## the course as a static web site in site/, which asks nobody for anything
	rm -rf site
	$(CNNKIT) site

doctor: .venv/ready  ## what this machine has, and what to do about what it lacks
	$(CNNKIT) doctor

lint: .venv/ready  ## ruff: rules and format
	.venv/bin/ruff check . && .venv/bin/ruff format --check .

lab: .venv/ready  ## open the notebooks in JupyterLab
	.venv/bin/jupyter lab --LabApp.default_url=/lab/tree/notebooks

bench: .venv/ready  ## the ratios of benchmarks/README.md, measured here
	.venv/bin/python -m benchmarks

clean:  ## remove .venv, smoke results and caches; never a committed result
	rm -rf .venv site results/smoke results/.locks .pytest_cache .ruff_cache .hypothesis *.egg-info
