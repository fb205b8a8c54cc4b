# Nothing to install by hand: each target makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test lint bench soak clean

quickstart: $(STAMP)  ## pre-train on the embedded digits, measure against the untrained encoder, write a report
	$(BIN)/barlowtf pretrain --config digits --run-dir runs/quickstart
	$(BIN)/barlowtf evaluate --protocol linear --protocol semi1 --protocol semi10 --protocol knn --recipe small \
		--encoder runs/quickstart --encoder random --seeds 0,1,2
	$(BIN)/barlowtf report runs/quickstart --out runs/quickstart/report.html

test: $(STAMP)  ## the fast suite, in two processes
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## every benchmark; writes benchmarks/results/*.json
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks

soak: $(STAMP)  ## kill -9 at 24 random moments; writes benchmarks/results/soak.json
	$(BIN)/python -m benchmarks.soak --kills 24

clean:
	rm -rf $(VENV) build dist *.egg-info

$(STAMP): pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "barlowtf needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@
