"""Speed and memory, one script a question; each writes results/NAME.json with machine and versions.

::

    python -m benchmarks            all of them, one after the other
    python -m benchmarks.step       whole training step against the authors' step in PyTorch
    python -m benchmarks.loss       the two forms of the loss
    python -m benchmarks.input      JPEG bytes to two crops, against the authors' PIL pipeline
    python -m benchmarks.loop       the loop with real data against the bare step; the cost of what watches it
    python -m benchmarks.serving    exported files against PyTorch and onnxruntime, the same network
    python -m benchmarks.parity     every export, and every way to load a SavedModel, on real images
    python -m benchmarks.compat     TensorFlow 2.15 and TensorFlow Addons against ours (make compat)

Ratios are ratios of medians from one run. Machines differ and other programs disturb: a ratio says more than a time.
"""
