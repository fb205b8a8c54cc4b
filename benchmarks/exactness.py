"""The training step on several replicas against one replica on the same global batch, number by number.

Five LARS steps of a small ResNet-18 and projector through the compiled step of a run, float32, in both forms of the
loss: on 2 and on 4 mirrored replicas, and on 2 worker processes that talk over gRPC. Each replica has its own part of
the batch, and the parts differ in brightness and contrast. Compared are loss and terms of every step, the gradient of
every weight at every step as the optimizer gets it (summed over replicas), and the weights and running statistics at
the end. The difference of a tensor is |a - b| / |b|, Euclidean norms over all of it.

As a yardstick of rounding the same five steps on one replica run in float64 too, as far as the library goes: loss,
normalization parameters, pooled features and LARS are float32 under every policy.

Command: python -m benchmarks.exactness [--quick]
"""

import argparse
import itertools
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
from benchmarks import collectives, five_steps, machine
from benchmarks.five_steps import Arrays

THREADS = 2
ENCODER = "resnet18_w0p125"
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
    """Returns the largest relative difference of each kind, and the tensor that has it."""
    differences = {name: relative_difference(arrays[name], reference[name]) for name in reference}
    result = {}
    for kind in KINDS:
        of_kind = {name: value for name, value in differences.items() if name.startswith(f"{kind}/")}
        worst = max(of_kind, key=of_kind.get)
        result[kind] = {"largest": of_kind[worst], "tensor": worst, "tensors": len(of_kind)}
    return result


def relative_difference(received: np.ndarray, expected: np.ndarray) -> float:
    """Returns |received - expected| / |expected|, Euclidean norms over the whole tensor, in float64."""
    received, expected = np.float64(received), np.float64(expected)
    difference = float(np.linalg.norm(received - expected) / np.linalg.norm(expected))
    return difference if math.isfinite(difference) else math.inf  # NaN would pass for small.


def run_rows(rows: Iterable[str], forms: Iterable[str], encoder: str) -> tuple[Arrays, dict[str, Any]]:
    """Returns what the rows computed, by "row/form/..." names, and for workers what a step exchanges, by form.

    One row of several replicas at most: TensorFlow takes no second group of them in a process.
    """
    arrays: Arrays = {}
    exchanged = {}
    # Several replicas first: they split the CPU, which TensorFlow allows only before it has started.
    for row in sorted(rows, key=lambda row: row in ("one", "float64")):
        strategy = make_strategy(*ROWS[row])
        for form in forms:
            computed = five_steps.run(strategy, form, "float64" if row == "float64" else "float32", encoder)
            arrays |= {f"{row}/{form}/{name}": value for name, value in computed.arrays.items()}
            if row == "workers2":
                exchanged[form] = _describe_exchange(computed, form, strategy.num_replicas_in_sync)
        barrier(strategy)
    return arrays, exchanged


def _describe_exchange(computed: five_steps.Computed, form: str, replicas: int) -> dict[str, Any]:
    sizes = {name: array.size for name, array in computed.arrays.items()}
    return collectives.describe(
        computed.graph,
        form,
        replicas=replicas,
        examples=five_steps.EXAMPLES,
        dimensions=five_steps.WIDTHS[-1],
        weights=sum(size for name, size in sizes.items() if name.startswith("weights/")),
        channels=sum(size for name, size in sizes.items() if name.endswith("/moving_mean")),
    )


def run_process(rows: Iterable[str], forms: Iterable[str], encoder: str, folder: Path, *, threads: int) -> Arrays:
    """Returns what a fresh process computed, see `run_rows`."""
    return _run_children([None], rows, forms, encoder, folder, threads)[0]


def run_workers(forms: Iterable[str], encoder: str, folder: Path) -> tuple[Arrays, dict[str, Any]]:
    """Returns what the first of two worker processes computed, see `run_rows`; they talk over gRPC on this machine."""
    return _run_children(cluster_configs(free_ports(2)), ["workers2"], forms, encoder, folder, 1)


def _run_children(
    configs: Sequence[str | None], rows: Iterable[str], forms: Iterable[str], encoder: str, folder: Path, threads: int
) -> tuple[Arrays, dict[str, Any]]:
    """Runs one process for each TF_CONFIG at once; returns what the first computed."""
    paths = [folder / f"{'-'.join(rows)}-{index}.npz" for index in range(len(configs))]

    def run(config: str | None, path: Path) -> dict[str, Any]:
        environment = {} if config is None else {"TF_CONFIG": config}
        arguments = ("--child", str(path), ",".join(rows), ",".join(forms), encoder)
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
    parser.add_argument(
        "--choose", choices=five_steps.SEEDS, help="look for the seeds of this encoder anew and print them"
    )
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        path, rows, forms, encoder = options.child
        arrays, exchanged = run_rows(rows.split(","), forms.split(","), encoder)
        np.savez(path, **arrays)
        sys.stdout.write(json.dumps(exchanged) + "\n")
        return
    tf.config.set_visible_devices([], "GPU")  # As in the children.
    if options.choose:
        # From another thousand for each step, so that no two steps see the same batch.
        sys.stdout.write(
            f"{five_steps.smallest_relu_inputs(options.choose, lambda step: itertools.count(1000 * step))}\n"
        )
        return
    result = measure(FORMS[:1], ("mirrored2",)) if options.quick else measure(FORMS, ("mirrored2", "mirrored4"))
    _print_table(result)
    path = machine.write_result("exactness-quick" if options.quick else "exactness", result)
    sys.stderr.write(f"{path}\n")
    if not (result["limit_met"] and all(result["collectives_as_said"].values())):
        raise SystemExit(f"a difference is above {LIMIT}, or the step exchanges what the formulas do not say")


def measure(forms: Sequence[str], mirrored: Sequence[str]) -> dict[str, Any]:
    """Returns all differences and exchanges."""
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for row in mirrored:
            arrays = run_process(["one", row], forms, ENCODER, folder, threads=THREADS)
            rows[row] = {form: compare(part(arrays, row, form), part(arrays, "one", form)) for form in forms}
        one = {form: part(arrays, "one", form) for form in forms}
        arrays, exchanged = run_workers(forms, ENCODER, folder)
        rows["workers2"] = {form: compare(part(arrays, "workers2", form), one[form]) for form in forms}
        arrays = run_process(["float64"], forms, ENCODER, folder, threads=THREADS)
        rounding = {form: compare(one[form], part(arrays, "float64", form)) for form in forms}
    largest = max(
        kind["largest"] for of_forms in rows.values() for kinds in of_forms.values() for kind in kinds.values()
    )
    as_said = {form: collectives.is_as_said(described, form) for form, described in exchanged.items()}
    seeds = five_steps.SEEDS[ENCODER]
    margins = five_steps.smallest_relu_inputs(ENCODER, lambda step: [seeds[step]])
    return {
        "settings": {
            "encoder": ENCODER,
            "image_size": five_steps.SIZE,
            "projector": five_steps.WIDTHS,
            "examples": five_steps.EXAMPLES,
            "steps": five_steps.STEPS,
            "learning_rates": five_steps.RATES,
            "seeds": seeds,
            "smallest_relu_inputs": [margin for _, margin in margins],
        },
        "limit": LIMIT,
        "largest_difference": largest,
        "limit_met": largest <= LIMIT,
        "collectives_as_said": as_said,
        "relative_differences_from_one_replica": rows,
        "relative_differences_of_one_replica_from_float64": rounding,
        "collectives": {
            "two_workers": exchanged,
            "by_formula_at_the_papers_size": {
                **PAPER,
                "received_bytes": {form: collectives.received_by_loss(form, **PAPER) for form in FORMS},
            },
        },
    }


def _print_table(result: dict[str, Any]) -> None:
    """Writes the largest differences and the bytes to stderr."""
    rounding = {"one, from float64": result["relative_differences_of_one_replica_from_float64"]}
    for row, of_forms in {**result["relative_differences_from_one_replica"], **rounding}.items():
        for form, kinds in of_forms.items():
            numbers = "  ".join(f"{kind} {found['largest']:.1e}" for kind, found in kinds.items())
            sys.stderr.write(f"{row:18} {form:12} {numbers}\n")
    for form, described in result["collectives"]["two_workers"].items():
        received = "  ".join(f"{name} {value:.0f}" for name, value in described["received_bytes_by_graph"].items())
        sys.stderr.write(f"bytes received     {form:12} {received}\n")


if __name__ == "__main__":
    main()
