"""The training step on several replicas against one replica on the same global batch, number by number.

LARS steps of a small ResNet-18 and projector through the compiled step of a run, float32, in both forms of the loss: on
2 and on 4 mirrored replicas, and on 2 worker processes that talk over gRPC. Each replica has its own part of the batch,
and the parts differ in brightness and contrast. 20 random batches, seeds 0 to 19, none passed over: four runs of five
steps, each from the weights that the library starts the model with and 20 steps on other random batches have changed.
Compared are loss and terms of every step, the gradient of every weight at every step as the optimizer gets it (summed
over replicas), and the weights and running statistics at the end of a run. The difference of a tensor is
|a - b| / |b|, Euclidean norms over all of it; the figure of a batch is that of the tensor that differs most.

As a yardstick of rounding the same steps on one replica run in float64 too, as far as the library goes: loss,
normalization parameters, pooled features and LARS are float32 under every policy.

Command: python -m benchmarks.exactness [--quick]
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.distribute import make_strategy
from barlowtf.launching import cluster_configs, free_ports
from barlowtf.train.workers import barrier
from benchmarks import collectives, compared_steps, machine
from benchmarks.compared_steps import Arrays, Case

THREADS = 2
ENCODER = "resnet18_w0p125"
RUNS, STEPS = 4, 5
# Steps that move the first weights, and the seed of the first of their batches.
STEPS_BEFORE, FIRST_SEED_BEFORE = 20, 1000
FORMS = ("gram", "correlation")
LIMIT = 1e-5
KINDS = ("loss", "gradients", "weights", "statistics")
# Name -> strategy and number of replicas. "one" is what the others are compared with.
ROWS = {
    "one": ("one", None),
    "float64": ("one", None),
    "mirrored2": ("mirrored", 2),
    "mirrored4": ("mirrored", 4),
    "workers2": ("multiworker", None),
}
# Of the paper: 32 V100.
PAPER = {"replicas": 32, "examples": 2048, "dimensions": 8192}


def compare(arrays: Mapping[str, np.ndarray], reference: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Returns for each kind of number the differences of its batches or, of weights and statistics, of its runs.

    Returns:
        By kind: "median" and "maximum" over the batches or runs; "tensor", the name of the one that differs most;
        "above_limit" of "tensors", how many differ by more than `LIMIT`; "each", the difference of each batch or run.
    """
    differences: dict[str, dict[str, dict[str, float]]] = {kind: {} for kind in KINDS}
    for name in reference:
        kind, batch, _ = name.split("/", 2)
        differences[kind].setdefault(batch, {})[name] = relative_difference(arrays[name], reference[name])
    result = {}
    for kind, batches in differences.items():
        tensors = {name: value for of_batch in batches.values() for name, value in of_batch.items()}
        each = {batch: max(of_batch.values()) for batch, of_batch in batches.items()}
        result[kind] = {
            "median": machine.median(list(each.values())),
            "maximum": max(each.values()),
            "tensor": max(tensors, key=tensors.get),
            "above_limit": sum(value > LIMIT for value in tensors.values()),
            "tensors": len(tensors),
            "each": {batch: float(f"{value:.3g}") for batch, value in each.items()},
        }
    return result


def relative_difference(received: np.ndarray, expected: np.ndarray) -> float:
    """Returns |received - expected| / |expected|, Euclidean norms over the whole tensor, in float64."""
    received, expected = np.float64(received), np.float64(expected)
    difference = float(np.linalg.norm(received - expected) / np.linalg.norm(expected))
    return difference if math.isfinite(difference) else math.inf  # NaN would pass for small.


def random_case() -> Case:
    """Returns the steps of this benchmark."""
    before = range(FIRST_SEED_BEFORE, FIRST_SEED_BEFORE + STEPS_BEFORE)
    runs = tuple(tuple(range(STEPS * run, STEPS * (run + 1))) for run in range(RUNS))
    return Case(ENCODER, runs, compared_steps.trained_weights(ENCODER, before))


def run_rows(rows: Iterable[str], forms: Iterable[str], case: Case) -> tuple[Arrays, dict[str, Any]]:
    """Returns what the rows computed, by "row/form/..." names, and for workers what a step exchanges, by form.

    At most one row of several replicas: TensorFlow does not take a second group of them in a process.
    """
    arrays: Arrays = {}
    exchanged = {}
    # Several replicas first: they split the CPU, which TensorFlow allows only before it has started.
    for row in sorted(rows, key=lambda row: row in ("one", "float64")):
        strategy = make_strategy(*ROWS[row])
        for form in forms:
            computed = compared_steps.run(strategy, case, form, "float64" if row == "float64" else "float32")
            arrays |= {f"{row}/{form}/{name}": value for name, value in computed.arrays.items()}
            if row == "workers2":
                exchanged[form] = _describe_exchange(computed, form, strategy.num_replicas_in_sync)
        barrier(strategy)
    return arrays, exchanged


def _describe_exchange(computed: compared_steps.Computed, form: str, replicas: int) -> dict[str, Any]:
    sizes = {name: array.size for name, array in computed.arrays.items()}
    return collectives.describe(
        computed.graph,
        form,
        replicas=replicas,
        examples=compared_steps.EXAMPLES,
        dimensions=compared_steps.WIDTHS[-1],
        weights=sum(size for name, size in sizes.items() if name.startswith("weights/0/")),
        channels=sum(
            size for name, size in sizes.items() if name.startswith("statistics/0/") and name.endswith("_mean")
        ),
    )


def run_process(rows: Iterable[str], forms: Iterable[str], case: Case, folder: Path, *, threads: int) -> Arrays:
    """Returns what a fresh process computed, see `run_rows`."""
    return _run_children([None], rows, forms, case, folder, threads)[0]


def run_workers(forms: Iterable[str], case: Case, folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Returns what the first of two worker processes computed, see `run_rows`; they talk over gRPC on this machine."""
    return _run_children(cluster_configs(free_ports(2)), ["workers2"], forms, case, folder, 1)


def _run_children(
    configs: Sequence[str | None], rows: Iterable[str], forms: Iterable[str], case: Case, folder: Path, threads: int
) -> tuple[Arrays, dict[str, Any]]:
    """Runs one process for each TF_CONFIG at once; returns what the first computed."""
    name = "-".join(rows)
    case.save(folder / f"{name}-case.npz")
    paths = [folder / f"{name}-{index}.npz" for index in range(len(configs))]

    def run(config: str | None, path: Path) -> dict[str, Any]:
        environment = {} if config is None else {"TF_CONFIG": config}
        arguments = ("--child", str(path), ",".join(rows), ",".join(forms), str(folder / f"{name}-case.npz"))
        return machine.run_child("benchmarks.exactness", *arguments, threads=threads, environment=environment)

    with ThreadPoolExecutor(len(configs)) as pool:
        exchanged = list(pool.map(run, configs, paths))[0]
    with np.load(paths[0]) as file:
        return dict(file), exchanged


def part(arrays: Arrays, row: str, form: str) -> Arrays:
    """Returns the arrays of one row and form, by kind and name."""
    prefix = f"{row}/{form}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two replicas and one form: a look, not a figure")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, rows, forms, case = options.child
        arrays, exchanged = run_rows(rows.split(","), forms.split(","), Case.load(Path(case)))
        np.savez(path, **arrays)
        sys.stdout.write(json.dumps(exchanged) + "\n")
        return
    tf.config.set_visible_devices([], "GPU")  # As in the children.
    result = measure(FORMS[:1], ("mirrored2",)) if options.quick else measure(FORMS, ("mirrored2", "mirrored4"))
    _print_table(result)
    path = machine.write_result("exactness-quick" if options.quick else "exactness", result)
    sys.stderr.write(f"{path}\n")
    if not (result["median_gradient_within_limit"] and all(result["collectives_as_said"].values())):
        raise SystemExit(
            f"the median of the gradients is above {LIMIT}, or the step exchanges what the formulas do not say"
        )


def measure(forms: Sequence[str], mirrored: Sequence[str]) -> dict[str, Any]:
    """Returns all differences and exchanges."""
    case = random_case()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arrays = run_process(["one", "float64", mirrored[0]], forms, case, folder, threads=THREADS)
        for row in mirrored[1:]:
            arrays |= run_process([row], forms, case, folder, threads=THREADS)
        of_workers, exchanged = run_workers(forms, case, folder)
        arrays |= of_workers

    def compare_rows(row: str, reference: str) -> dict[str, Any]:
        return {form: compare(part(arrays, row, form), part(arrays, reference, form)) for form in forms}

    rows = {row: compare_rows(row, "one") for row in (*mirrored, "workers2")}
    of_kinds = [kinds for of_forms in rows.values() for kinds in of_forms.values()]
    return {
        "settings": {
            "encoder": ENCODER,
            "image_size": compared_steps.SIZE,
            "projector": compared_steps.WIDTHS,
            "examples": compared_steps.EXAMPLES,
            "batches": RUNS * STEPS,
            "runs": RUNS,
            "steps_of_a_run": STEPS,
            "steps_before": STEPS_BEFORE,
            "learning_rates": compared_steps.RATES,
        },
        "limit": LIMIT,
        "largest_median": {kind: max(kinds[kind]["median"] for kinds in of_kinds) for kind in KINDS},
        "largest_maximum": {kind: max(kinds[kind]["maximum"] for kinds in of_kinds) for kind in KINDS},
        "median_gradient_within_limit": all(kinds["gradients"]["median"] <= LIMIT for kinds in of_kinds),
        "collectives_as_said": {form: collectives.is_as_said(found, form) for form, found in exchanged.items()},
        "relative_differences_from_one_replica": rows,
        "relative_differences_of_one_replica_from_float64": compare_rows("one", "float64"),
        "smallest_relu_inputs": compared_steps.smallest_relu_inputs(case),
        "collectives": {
            "two_workers": exchanged,
            "by_formula_at_the_papers_size": {
                **PAPER,
                "received_bytes": {form: collectives.received_by_loss(form, **PAPER) for form in FORMS},
            },
        },
    }


def _print_table(result: dict[str, Any]) -> None:
    """Writes medians and maxima over the batches, and the bytes, to stderr."""
    rounding = {"one, from float64": result["relative_differences_of_one_replica_from_float64"]}
    for row, of_forms in {**result["relative_differences_from_one_replica"], **rounding}.items():
        for form, kinds in of_forms.items():
            numbers = "  ".join(f"{kind} {found['median']:.1e} {found['maximum']:.1e}" for kind, found in kinds.items())
            sys.stderr.write(f"{row:18} {form:12} {numbers}\n")
    for form, described in result["collectives"]["two_workers"].items():
        received = "  ".join(f"{name} {value:.0f}" for name, value in described["received_bytes_by_graph"].items())
        sys.stderr.write(f"bytes received     {form:12} {received}\n")


if __name__ == "__main__":
    main()
