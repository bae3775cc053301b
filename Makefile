# Two commands on a fresh machine: `make run` and `make test`. Both make the virtual environment they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin

# the programs that tests start by the hundred are compiled once
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run install test check format bench lock clean

run: $(VENV)/.installed  ## start everything with demo traffic
	$(BIN)/claude-proxy up --demo $(ARGS)

install: $(VENV)/.installed  ## the virtual environment alone

test: $(VENV)/.installed  ## every test; TESTS narrows it down
	@.ci/chromium
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

check: $(VENV)/.installed  ## format, lint, types, direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_imports.py

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.installed  ## the figures of docs/figures.md, as ratios in one run
	$(BIN)/python -m tests.benchmarks

lock:  ## after a change to pyproject.toml
	uv pip compile pyproject.toml --all-extras --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --custom-compile-command "make lock" -o requirements.lock

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@
