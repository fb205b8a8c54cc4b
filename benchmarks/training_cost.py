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

from barlowtf.config import flat_settings, load_recipe
from barlowtf.encoders.building import build_model
from barlowtf.places import short_spec
from barlowtf.records import Result, read_results
from barlowtf.runs import RunFolder
from benchmarks import machine
from benchmarks.gpu.tracing import multiply_adds

_MEASURES = {"knn": ("top1", "top1_k200"), "linear-fast": ("top1",)}


def describe_run(run: RunFolder, results: list[Result], first: dict[str, Any]) -> dict[str, Any]:
    """Returns epochs, multiply-adds and accuracy of a finished run, and where its settings differ from the `first`.

    Raises:
        SystemExit: A result is missing.
    """
    recipe, info = load_recipe(str(run.recipe)), run.read_info()
    flat = flat_settings(recipe)
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
        "changed": {key: value for key, value in flat.items() if first.get(key) != value and key != "data.source"},
        "git_commit": info.git_commit,
        "machine": info.machine.model_dump(mode="json"),
    }


def main() -> None:
    name, folder, *runs = sys.argv[1:]
    results, faults = read_results(Path(folder))
    if faults:
        raise SystemExit(faults[0])
    folders = [RunFolder(Path(run).absolute()) for run in runs]
    first = flat_settings(load_recipe(str(folders[0].recipe)))
    described = [describe_run(folder, results, first) for folder in folders]
    described.sort(key=lambda run: run["epochs"])
    settings = {**first, "data.source": short_spec(first["data.source"])}
    machine.write_result(name, {"runs": described, "settings_of_the_first": settings})


if __name__ == "__main__":
    main()
