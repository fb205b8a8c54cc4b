# Nothing to install by hand: each target that needs .venv makes it first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# TensorFlow 2.15 and TensorFlow Addons, for `make compat` alone.
PYTHON311 ?= python3.11
OLD := .compat

.PHONY: help quickstart test test-all test-torch lint audit docs wheel bench bench-gpu kills soak compat clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

quickstart: $(STAMP)  ## pre-train on the embedded digits, evaluate, write a report
	$(BIN)/barlowtf pretrain --config digits --run-dir runs/quickstart
	$(BIN)/barlowtf evaluate --protocol linear-fast --protocol semi1 --protocol knn --variant tiny \
		--encoder runs/quickstart --encoder random --encoder pixels --seeds 0,1,2
	$(BIN)/barlowtf report runs/quickstart --out runs/quickstart/report.html
	@echo "Open runs/quickstart/report.html in a browser. Next, on your own photos:"
	@echo "  $(BIN)/barlowtf pretrain --data FOLDER --budget 30m"

test: $(STAMP)  ## run the fast tests, in two processes
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: test  ## run the fast tests, then those with real processes: workers, kills, exports read by a fresh process
	$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m slow

test-torch: $(STAMP)  ## install PyTorch and run the tests that read and write its files
	$(BIN)/python -m pip install -q torch==2.13.0 safetensors
	$(BIN)/python -m pytest -q tests/convert tests/experiment/test_convert.py tests/experiment/test_convert_refusals.py

lint: $(STAMP)  ## check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

audit: $(STAMP)  ## look for known vulnerabilities of the installed packages, where a package index answers
	@.ci/audit

docs: $(STAMP)  ## write the reference pages and the notebooks again from the code and the examples
	$(BIN)/python -m docs.generate
	$(BIN)/python docs/notebooks.py

wheel: $(STAMP)  ## build the wheel, install it in an environment of its own and pre-train from another folder
	.ci/try_wheel

bench: $(STAMP)  ## run every benchmark and write benchmarks/results/*.json
	$(BIN)/python -m pip install -q -e '.[bench]'
	$(BIN)/python -m benchmarks

bench-gpu: $(STAMP)  ## time the training step with TensorFlow on a GPU and write benchmarks/results/gpu_tensorflow.json
	$(BIN)/python -m benchmarks.gpu tensorflow

kills: $(STAMP)  ## kill runs at 24 random moments and write benchmarks/results/kills.json
	$(BIN)/python -m benchmarks.kills --kills 24

soak: $(STAMP)  ## train for an hour with a fault every minute and write benchmarks/results/soak.json
	$(BIN)/python -m benchmarks.soak

compat: $(STAMP) $(OLD)/.installed  ## compare with TensorFlow 2.15 and TensorFlow Addons and write benchmarks/results/compat.json
	$(BIN)/python -m benchmarks.compat $(if $(SAVED_MODEL),--saved-model $(SAVED_MODEL)) $(if $(IMAGES),--images $(IMAGES))

clean:  ## remove the environments and what was built
	rm -rf $(VENV) $(OLD) build dist *.egg-info

$(STAMP): pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Invalid PYTHON=$(PYTHON): expected Python 3.11, 3.12 or 3.13, for which TensorFlow has wheels." \
			"Set another one: make PYTHON=python3.12" >&2; exit 1; }
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
