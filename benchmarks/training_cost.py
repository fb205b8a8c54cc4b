"""Accuracy of one recipe against the multiply-adds of its training: runs of a few epochs and of many.

A run's cost is that of its steps: the convolutions and products of encoder and projector for all views, forward and
twice as much for the gradients. The rest of a step, augmentation and loss among it, is a few percent and not counted.
Accuracy is that of the results of `barlowtf evaluate --encoder RUN`, of `knn` and `linear-fast`.

Command: python -m benchmarks.training_cost NAME RESULTS RUN..., e.g. cifar10_curve results/cifar runs/1 runs/3
"""

import sys
from pathlib import Path
from typing import Any

import keras

from barlowtf.config import load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.records import Result, read_results
from barlowtf.runs import RunFolder
from benchmarks import machine
from benchmarks.gpu.tracing import multiply_adds

_MEASURES = {"knn": ("top1", "top1_k200"), "linear-fast": ("top1",)}


def describe_run(run: RunFolder, results: list[Result]) -> dict[str, Any]:
    """Returns epochs, multiply-adds and accuracy of a finished run.

    Raises:
        SystemExit: A result is missing.
    """
    recipe, info = load_recipe(str(run.recipe)), run.read_info()
    model = build_model(recipe, info.steps.per_epoch)
    views = 2 * recipe.train.pairs * recipe.train.batch_size
    # An encoder takes images of any size; its layers' outputs are counted at that of the views.
    view = keras.Input((recipe.augment.size, recipe.augment.size, recipe.data.channels))
    encoder = keras.models.clone_model(model.encoder, input_tensors=view)
    per_step = 3 * views * (multiply_adds(encoder) + multiply_adds(model.projector))
    found = {
        f"{result.protocol} {measure}": result.scores[measure]
        for result in results
        for measure in _MEASURES.get(result.protocol, ())
        if Path(result.encoder.name).name == run.path.name
    }
    if len(found) < sum(map(len, _MEASURES.values())):
        raise SystemExit(f"{run.path} has only these results: {found}.")
    return {
        "epochs": recipe.train.epochs,
        "steps": info.steps.total,
        "views_per_step": views,
        "multiply_adds": per_step * info.steps.total,
        "accuracy": found,
        "command": info.command,
        "git_commit": info.git_commit,
        "machine": info.machine.model_dump(mode="json"),
    }


def main() -> None:
    name, folder, *runs = sys.argv[1:]
    results, faults = read_results(Path(folder))
    if faults:
        raise SystemExit(faults[0])
    described = [describe_run(RunFolder(Path(run).resolve()), results) for run in runs]
    described.sort(key=lambda run: run["epochs"])
    recipe = RunFolder(Path(runs[0]).resolve()).recipe.read_text(encoding="utf-8")
    machine.write_result(name, {"runs": described, "recipe_of_the_first": recipe})


if __name__ == "__main__":
    main()
