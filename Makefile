# `make demo` and `make test` need nothing but Python 3.10 to 3.12; both install into .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test docs lint format install install-tests clean-demo

demo: install
	$(BIN)/python tools/demo.py

test: install-tests lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

# site/, which opens from the disk; the build needs no network
docs: install-tests
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: install-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-tests
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

install: .venv/.installed
install-tests: .venv/.installed-tests

.venv/.installed: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 10) <= sys.version_info < (3, 13) else "allinone needs Python 3.10 to 3.12, this is %d.%d: make PYTHON=python3.11 ..." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -r requirements.txt -e .
	touch $@

.venv/.installed-tests: .venv/.installed
	$(BIN)/python -m pip install -c constraints.txt -e '.[tests]'
	touch $@
