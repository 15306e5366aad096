# make mnist   train all methods side by side on MNIST; writes a table and a picture to results/
# make test    run all tests
# make oldest  run the tests on the oldest versions that pyproject.toml admits
# make parity  run the tests against the real PyTorch (large) and Keras
# make lint    check style and types
# make bench   measure steps, compilation and memory beside Optax (and PyTorch after make parity)
# make clean   remove what the others made
#
# Each creates its environment in .venv first, the oldest versions' in .venv-oldest. PYTHON chooses
# the interpreter (3.11 or newer).

PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
OLDEST := .venv-oldest

.PHONY: mnist test oldest parity lint bench clean

mnist: .venv/examples
	$(BIN)/python -m examples.mnist $(ARGS)

test: .venv/test
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

# All but what no version has a part in: the wheel, the data files, the command line.
oldest: $(OLDEST)/test
	$(OLDEST)/bin/python -m pytest --numprocesses auto --dist worksteal \
		--ignore tests/test_wheel.py --ignore tests/examples/test_mnist_data.py \
		--ignore tests/examples/test_mnist_command.py $(ARGS)

parity: .venv/parity
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal tests/dialects $(ARGS)

lint: .venv/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: .venv/examples
	$(BIN)/python -m benchmarks $(ARGS)

# One environment; each extra is installed once, and again when pyproject.toml changes.
.venv/examples .venv/test .venv/parity .venv/lint: .venv/%: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

# Each lower bound of pyproject.toml as the only version.
$(OLDEST)/test: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	grep -oE '[a-z0-9-]+>=[0-9.]+' pyproject.toml | sed 's/>=/==/' > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt \
		--editable ".[test]"
	touch $@

clean:
	rm -rf .venv $(OLDEST) results .pytest_cache .mypy_cache .ruff_cache .hypothesis
