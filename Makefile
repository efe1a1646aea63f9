# make run    trains LeNet-5 on the digits; ARGS='--config.epochs=5' adds options
# make test   runs the test suite;          ARGS='-n0 -k conv' selects, in one process
# make format ruff puts the code into its form, and mends what it can
# make lint   ruff; pyright on what differs from the main branch and on what imports it; biome, for the scripts and
#             styles of the pages;          ALL=1 gives pyright all files, as continuous integration does
# make docs   builds the site into site/, pages of the lecture run; CNN_JAX_LECTURE=small makes that quick
# Each target sets up .venv by itself.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := .venv/Scripts
EXE := .exe
else
PYTHON ?= python3
BIN := .venv/bin
EXE :=
endif
ARGS ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check

.PHONY: run test format lint bench docs clean

run: .venv/run
	$(BIN)/python -m cnn_jax.main --experiment=lenet_digits $(ARGS)

test: .venv/dev
	$(BIN)/python -m pytest $(ARGS)

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(ALL),$(BIN)/pyright,$(BIN)/python .ci/changed.py $(BIN)/pyright)
	node_modules/.bin/biome lint --error-on-warnings

bench: .venv/dev
	$(BIN)/python -m benchmarks.lenet_digits --seeds=5

docs: .venv/docs
	$(BIN)/python -m docs.generate
	$(BIN)/zensical build --clean --strict
	$(BIN)/python -m docs.generate --check=site

clean:
	rm -rf .venv node_modules runs build site

$(BIN)/python$(EXE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cnn_jax needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "making .venv"
	$(PYTHON) -m venv .venv

.venv/run: requirements.txt $(BIN)/python$(EXE)
	@echo "installing what a run needs; the first time this takes some minutes"
	$(PIP) -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt package-lock.json .venv/run
	@echo "installing what the tests and linters need"
	$(PIP) -r requirements-dev.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --no-audit --no-fund
	@touch $@

.venv/docs: requirements-docs.txt .venv/run
	@echo "installing what the site is built with"
	$(PIP) -r requirements-docs.txt
	@touch $@
