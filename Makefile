# make run    trains LeNet-5 on the digits; ARGS='--config.epochs=5' adds options
# make test   runs the test suite;          ARGS='-k conv' selects
# make lint   ruff and pyright
# Each target sets up .venv by itself.

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: run test lint bench clean

run: .venv/run
	$(BIN)/python -m cnn_jax.main --experiment=lenet_digits $(ARGS)

test: .venv/dev
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: .venv/dev
	$(BIN)/python -m benchmarks.lenet_digits --seeds=5

clean:
	rm -rf .venv runs

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "cnn_jax needs Python 3.11 or newer; found $$($(PYTHON) --version). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/run: requirements.txt .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/dev: requirements-dev.txt .venv/run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
