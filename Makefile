# A fresh clone needs nothing else: `make demo` and `make test` install first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test lint types bench wheel clean

install: $(STAMP)

# torch first and by its exact version: a range would draw in the CUDA build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $$(grep '^torch==' constraints.txt)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

demo: install
	$(BIN)/rm-probe demo

# Two processes of one thread each: of most tests a second thread does nothing.
test: install lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: install
	$(BIN)/mypy

bench: install
	$(BIN)/python tests/bench/bench_scoring.py
	$(BIN)/python tests/bench/bench_opinions.py
	$(BIN)/python tests/bench/bench_dialects.py
	$(BIN)/python tests/bench/bench_generation.py
	$(BIN)/python tests/bench/bench_belebele.py
	$(BIN)/python tests/bench/bench_training.py

wheel: install
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist runs reports
