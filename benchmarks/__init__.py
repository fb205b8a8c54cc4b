"""Speed, memory and exactness, one script per question; each writes results/NAME.json with machine and versions.

From a checkout; this folder is not part of the installed package. ::

    python -m benchmarks                    the first nine below, one after the other
    python -m benchmarks.loss               the two forms of the loss
    python -m benchmarks.input              JPEG bytes to two crops, against the authors' PIL pipeline
    python -m benchmarks.loop               the loop with real data against the bare step; the cost of monitoring
    python -m benchmarks.determinism        the cost of `train.deterministic = true`
    python -m benchmarks.exactness          several replicas against one, number by number
    python -m benchmarks.micro_batch        memory of a batch at once and in micro-batches
    python -m benchmarks.small_convolution  convolutions of small images
    python -m benchmarks.step               whole training step against the authors' step in PyTorch
    python -m benchmarks.serving            exported files against PyTorch and onnxruntime, the same network
    python -m benchmarks.scaling            the cost of a save, a signal and a second replica
    python -m benchmarks.knn_memory         memory of the nearest-neighbor search
    python -m benchmarks.kills              runs killed at random moments (make kills)
    python -m benchmarks.soak               an hour with a fault every minute (make soak)
    python -m benchmarks.steady_memory      memory and file handles over 10,000 steps with every monitor
    python -m benchmarks.parity             every export, and every way to load a SavedModel, on real images
    python -m benchmarks.compat             TensorFlow 2.15 and TensorFlow Addons against ours (make compat)
    python -m benchmarks.curve              keeps the curve of a finished run
    python -m benchmarks.protocols          keeps the results of `barlowtf evaluate`

Ratios are ratios of medians from one run. Machines differ and other programs disturb: a ratio says more than a time.
"""
