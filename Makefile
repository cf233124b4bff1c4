# make score   sets up .venv and scores the pictures in img/
# make test    sets up .venv and runs the tests
# make lint    sets up .venv and runs ruff and mypy
#
# Another Python: make PYTHON=python3.13 test     Another place for the environment: make VENV=/tmp/venv test

PYTHON ?= python3
VENV ?= .venv
READY := $(VENV)/ready-$(notdir $(PYTHON))

.PHONY: score test lint

score: $(READY)
	$(VENV)/bin/open-nsfw score img

test: $(READY)-to-test
	$(VENV)/bin/python -m pytest

lint: $(READY)-to-test
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

$(READY)-theano: install_theano.py
	$(PYTHON) -m venv --clear $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python install_theano.py
	touch $@

$(READY): $(READY)-theano setup.py pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable .
	touch $@

$(READY)-to-test: $(READY)-theano setup.py pyproject.toml
	$(VENV)/bin/python -m pip install --quiet --editable '.[test]'
	touch $@
