# Every target does its own set-up: a virtual environment in .venv, what the target needs from the
# package registry, and a release build of the extension. Set VENV or PYTHON to use others.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps
CORE   := $(STAMPS)/core
SOURCES := Cargo.toml Cargo.lock pyproject.toml $(shell find rust -name '*.rs' -o -name 'Cargo.toml')

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest-tensorflow oldest-tensorflow lint bench stubs clean

help:  ## say what the targets are
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: $(CORE) $(STAMPS)/cli $(STAMPS)/bench $(STAMPS)/tensorflow-cpu  ## filter a large photograph beside SciPy and OpenCV, then train a LeNet
	$(BIN)/ferroconv demo
	$(BIN)/ferroconv lenet train --epochs 3

bench: $(CORE) $(STAMPS)/cli $(STAMPS)/bench $(STAMPS)/torch  ## time ferroconv against SciPy, OpenCV, PyTorch and others; renew the README's tables
	$(BIN)/ferroconv bench 2048 --output out/images --readme README.md
	$(BIN)/ferroconv bench conv/ --output out/conv --readme README.md
	$(BIN)/ferroconv bench pool/ --output out/pool --readme README.md

test: $(CORE) $(STAMPS)/cli $(STAMPS)/bench $(STAMPS)/test $(STAMPS)/tensorflow-cpu  ## every test
	cargo test --release --workspace
	$(BIN)/python -m pytest

test-oldest-tensorflow:  ## the tests of ops and layers on the oldest TensorFlow that is claimed, in an environment of its own
	$(MAKE) VENV=.venv/oldest oldest-tensorflow

# Its own deprecations are not ours to mend: warnings are no errors here.
oldest-tensorflow: $(CORE) $(STAMPS)/cli $(STAMPS)/oldest
	$(BIN)/python -m pytest -o filterwarnings=default tests/test_tensorflow_*.py tests/test_keras_*.py -m "not slow"

lint: $(CORE) $(STAMPS)/lint $(STAMPS)/cli  ## formats, lints, types, stubs, and the laws of the house
	cargo fmt --check
	cargo clippy --release --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest ferroconv._core
	$(BIN)/python tools/laws.py

stubs: $(CORE) $(STAMPS)/lint  ## hold the stub of the extension module against the module
	$(BIN)/python -m mypy.stubtest ferroconv._core

clean:  ## remove what the targets made
	rm -rf $(VENV) target out

$(STAMPS)/venv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "maturin>=1.9,<2"
	mkdir -p $(STAMPS) && touch $@

$(CORE): $(STAMPS)/venv $(SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --quiet
	touch $@

# An extra of the package, as pyproject.toml lists it. (The package itself is maturin's.)
$(STAMPS)/%: pyproject.toml | $(STAMPS)/venv
	$(BIN)/python tools/extra.py $* | xargs -d '\n' $(BIN)/python -m pip install --quiet
	touch $@
