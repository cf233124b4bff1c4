# make score      sets up .venv and scores the pictures in img/
# make test       runs the tests
# make lint       runs ruff and mypy
# make fuzz       fuzzes each reader for an hour, going on where it was last left
# make mutate     changes the code at 300 random places and prints which changes no test notices
# make asan       puts the native module under load with sanitizers
# make docs       builds the documentation, docs/_build/html/index.html
# make notebooks  opens the notebooks in Jupyter
# make playground opens a page to play with in the browser
#
# Each sets up .venv first, with what it needs.
# Another Python: make PYTHON=python3.13 test     Another place for the environment: make VENV=/tmp/venv test

PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/ready-$(notdir $(PYTHON))

.PHONY: help score test lint fuzz mutate asan docs notebooks playground

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

score: $(READY)
	$(VENV)/bin/open-nsfw score img

test: $(READY)-to-test
	$(VENV)/bin/python -m pytest

lint: $(READY)-to-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

fuzz: $(READY)-to-test
	$(VENV)/bin/python tests/fuzz --seconds 3600 --corpus tests/fuzz/reached

mutate: $(READY)-to-test
	$(VENV)/bin/python tests/mutants

asan: $(READY)-to-test
	$(VENV)/bin/python tests/asan

docs: $(READY)-to-docs
	$(VENV)/bin/python -m sphinx --fail-on-warning --keep-going --quiet docs docs/_build/html

notebooks: $(READY)-to-notebooks
	$(VENV)/bin/jupyter lab notebooks

playground: $(READY)-to-playground
	$(VENV)/bin/open-nsfw playground

$(READY)-venv:
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(READY): $(READY)-venv setup.py pyproject.toml third_party/SHA256SUMS
	$(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(READY)-to-%: $(READY)-venv setup.py pyproject.toml third_party/SHA256SUMS
	$(VENV)/bin/python -m pip install --quiet --editable '.[$*]'
	touch $@
