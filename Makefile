# make mnist         train all methods side by side on MNIST; writes a table and a picture to results/
# make test          run the tests
# make proofs        run the tests that take long
# make oldest        run what depends on versions on the oldest ones that pyproject.toml admits
# make parity        run the tests against the newest PyTorch (large) and Keras
# make accelerators  compile each step for TPUs and GPUs that need not be here (large)
# make lint          check style and types
# make docs          build the site into site/, with warnings as errors
# make docs-serve    show the site at http://127.0.0.1:8000
# make docs-browser  look at each page of the site in Chromium, and search it
# make bench         measure steps, compilation and memory beside Optax (and PyTorch after make parity)
# make clean         remove what the others made
#
# Each creates its environment in VENV first. PYTHON chooses the interpreter (3.11 or newer), ARGS
# goes to the program.

PYTHON ?= python3
VENV ?= .venv
OLDEST := .venv-oldest
ARGS ?=
BIN := $(VENV)/bin
ACCELERATORS := .venv-accelerators
PYTEST := -m pytest --numprocesses auto --dist worksteal
# Apart, also where they are installed: PyTorch takes gigabytes in each worker.
PEERS := tests/dialects/test_torch* tests/dialects/test_keras*
WITHOUT_PEERS := $(PEERS:%=--ignore-glob '%')

.PHONY: mnist test proofs oldest parity accelerators lint docs docs-serve docs-browser bench clean

mnist: $(VENV)/examples
	$(BIN)/python -m examples.mnist $(ARGS)

test: $(VENV)/test
	$(BIN)/python $(PYTEST) $(WITHOUT_PEERS) $(ARGS)

proofs: $(VENV)/test
	$(BIN)/python $(PYTEST) -m proof $(WITHOUT_PEERS) $(ARGS)

# All but what no version has a part in: data files, command lines, pictures, the wheel.
oldest: $(OLDEST)/test
	$(OLDEST)/bin/python $(PYTEST) tests $(WITHOUT_PEERS) --ignore tests/test_wheel.py --ignore tests/benchmarks \
		--ignore-glob 'tests/examples/test_[!cmp]*' --ignore-glob 'tests/examples/test_mnist_[!t]*' \
		$(ARGS)

parity: $(VENV)/parity
	$(BIN)/python -m pip list 2> /dev/null | grep -E '^(keras|torch) '
	$(BIN)/python $(PYTEST) $(PEERS) $(ARGS)

# On the CPU, because the compilers' plugins look for their devices otherwise.
accelerators: $(ACCELERATORS)/accelerators
	JAX_PLATFORMS=cpu $(ACCELERATORS)/bin/python -m benchmarks.accelerators $(ARGS)

lint: $(VENV)/lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: $(VENV)/docs
	rm -rf site
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -d site/.doctrees docs site
	rm -r site/.doctrees

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site $(ARGS)

# CHROMIUM names the browser; WITHOUT_BROWSER=skip lets the check pass where there is none.
docs-browser: docs
	$(BIN)/python docs/browser.py site $(ARGS)

bench: $(VENV)/examples
	$(BIN)/python -m benchmarks $(ARGS)

# One environment; each extra is installed once, and again when pyproject.toml changes.
$(VENV)/examples $(VENV)/test $(VENV)/parity $(VENV)/lint $(VENV)/docs: $(VENV)/%: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

# Each lower bound of pyproject.toml as the only version.
$(OLDEST)/test: pyproject.toml
	$(PYTHON) -m venv $(OLDEST)
	grep -oE '[a-z0-9-]+>=[0-9.]+' pyproject.toml | sed 's/>=/==/' > $(OLDEST)/constraints.txt
	$(OLDEST)/bin/python -m pip install --quiet --constraint $(OLDEST)/constraints.txt \
		--editable ".[test]"
	touch $@

$(ACCELERATORS)/accelerators: pyproject.toml
	$(PYTHON) -m venv $(ACCELERATORS)
	$(ACCELERATORS)/bin/python -m pip install --quiet --editable ".[accelerators,examples]"
	touch $@

clean:
	rm -rf .venv .venv-* results site .pytest_cache .mypy_cache .ruff_cache .hypothesis
