# Nothing to install by hand: each target makes .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# TensorFlow 2.15 and TensorFlow Addons, for `make compat` alone.
PYTHON311 ?= python3.11
OLD := .compat

.PHONY: quickstart test test-torch lint bench bench-gpu soak compat clean

quickstart: $(STAMP)  ## pre-train on the embedded digits, measure against the untrained encoder, write a report
	$(BIN)/barlowtf pretrain --config digits --run-dir runs/quickstart
	$(BIN)/barlowtf evaluate --protocol linear --protocol semi1 --protocol semi10 --protocol knn --recipe small \
		--encoder runs/quickstart --encoder random --seeds 0,1,2
	$(BIN)/barlowtf report runs/quickstart --out runs/quickstart/report.html

test: $(STAMP)  ## the fast suite, in two processes
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

test-torch: $(STAMP)  ## the tests of PyTorch's files, with PyTorch
	$(BIN)/python -m pip install -q torch==2.13.0 safetensors
	$(BIN)/python -m pytest -q tests/convert tests/experiment/test_convert.py tests/experiment/test_convert_refusals.py

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## every benchmark; writes benchmarks/results/*.json
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks

bench-gpu: $(STAMP)  ## the training step with TensorFlow on a GPU; writes benchmarks/results/gpu_tensorflow.json
	$(BIN)/python -m benchmarks.gpu tensorflow

soak: $(STAMP)  ## kill -9 at 24 random moments; writes benchmarks/results/soak.json
	$(BIN)/python -m benchmarks.soak --kills 24

compat: $(STAMP) $(OLD)/.installed  ## TensorFlow 2.15 and TensorFlow Addons against ours; writes benchmarks/results/compat.json
	$(BIN)/python -m benchmarks.compat $(if $(SAVED_MODEL),--saved-model $(SAVED_MODEL)) $(if $(IMAGES),--images $(IMAGES))

clean:
	rm -rf $(VENV) $(OLD) build dist *.egg-info

$(STAMP): pyproject.toml setup.py
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "barlowtf needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -e '.[dev]'
	touch $@

$(OLD)/.installed: benchmarks/compat_requirements.txt
	@$(PYTHON311) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
		{ echo "make compat needs Python 3.11, the last that TensorFlow Addons knows. Received PYTHON311=$(PYTHON311)." >&2; exit 1; }
	rm -rf $(OLD)
	$(PYTHON311) -m venv $(OLD)
	@$(OLD)/bin/python -m pip install -q -r $< || \
		{ echo "make compat could not install $<: it needs a network, or a package index, that has these." >&2; exit 1; }
	touch $@
