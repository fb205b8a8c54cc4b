"""Traces cases into a folder that a machine without TensorFlow can run."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks import machine
from benchmarks.gpu import library
from benchmarks.gpu.cases import (
    BIAS_LEARNING_RATE,
    LAMBD,
    LEARNING_RATE,
    Case,
    InferenceCase,
    LossCase,
    StepCase,
    TrainingCase,
)
from benchmarks.gpu.program import write_program

_HERE = Path(__file__).resolve().parent
_PIXELS = {"dtype": "uint8", "rule": {"integers": [0, 256]}}
_FLOATS = {"dtype": "float32", "rule": {"normal": [0.0, 1.0]}}


def trace(cases: Mapping[str, Case], folder: Path, *, reference_steps: int = 0) -> None:
    """Writes the programs of cases, what runs them and cases.json.

    Args:
        cases: By name, in the order in which they run.
        folder: It is made where it is missing; programs of other cases stay.
        reference_steps: So many steps of each program are taken here and their outputs recorded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copy_runner(folder)
    file = folder / "cases.json"
    written = json.loads(file.read_text(encoding="utf-8"))["cases"] if file.exists() else {}
    for name, case in cases.items():
        written[name] = _TRACERS[type(case)](name, case, folder, reference_steps)
        # A model's variables stay in memory for as long as Keras' session knows them.
        keras.backend.clear_session()
        tf32 = bool(tf.config.experimental.tensor_float_32_execution_enabled())
        content = {"traced": machine.describe_machine(), "tf32": tf32, "cases": written}
        file.write_text(json.dumps(content, indent=1), encoding="utf-8")


def copy_runner(folder: Path) -> None:
    """Copies run.py and the portable half, with the PyTorch peer beside it."""
    shutil.copy(_HERE / "run.py", folder / "run.py")
    portable = folder / "portable"
    shutil.copytree(
        _HERE / "portable", portable, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
    )
    shutil.copy(_HERE.parent / "torch_peer.py", portable / "torch_peer.py")


def multiply_adds(model: keras.Model) -> int:
    """Returns the multiply-adds of one image through the layers with kernels of a model: convolutions and products."""
    total = 0
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None:
            places = layer.output.shape[1:-1]
            total += math.prod(kernel.shape) * math.prod(places)
    return total


def _trace_step(name: str, case: StepCase, folder: Path, reference_steps: int) -> dict[str, Any]:
    size, count = case.image_size, case.batch_size
    images = [count, size, size, library.CHANNELS]
    seeds = {"shape": [count, 2], "dtype": "int32", "rule": {"integers": [0, 2**31 - 1]}}
    inputs = {
        "plain": [{"shape": images, **_FLOATS}] * 2,
        "augmented": [*[{"shape": images, **_PIXELS}] * 2, seeds],
    }
    for variant in case.variants:
        with library.tracing_for_a_gpu():
            model = library.step_model(case, augmented=variant == "augmented")
            write_program(
                folder,
                f"{name}.{variant}",
                _step_of(model),
                inputs[variant],
                [*model.variables, *model.optimizer.variables],
                reference_steps=reference_steps,
            )
    # Forward, and twice as much backward; two views of each image. The first convolution has no gradient by the images.
    per_image = multiply_adds(model.encoder) + multiply_adds(model.projector)
    peer = {
        **_peer(case),
        "kind": "step",
        "widths": case.projector,
        "lambd": LAMBD,
        "learning_rate": LEARNING_RATE,
        "bias_learning_rate": BIAS_LEARNING_RATE,
    }
    return {
        "kind": "step",
        "programs": {variant: f"{name}.{variant}" for variant in case.variants},
        # Workers that take turns, one group after the other.
        "groups": [[variant, "pytorch"] if variant == "plain" else [variant] for variant in case.variants],
        "peer": peer,
        "images": count,
        "operations": 2 * 3 * 2 * count * per_image,
        "bfloat16": case.bfloat16,
        "case": asdict(case),
    }


def _step_of(model: keras.Model) -> Callable[..., dict[str, tf.Tensor]]:
    return lambda *batch: model.training_logs(batch)


def _trace_loss(name: str, case: LossCase, folder: Path, reference_steps: int) -> dict[str, Any]:
    entries = [{"shape": [case.batch_size, case.width], **_FLOATS}] * 2
    programs = {}
    for label, form in library.LOSS_FORMS.items():
        programs[label] = f"{name}.{form}"
        function = library.loss_function(form)
        write_program(folder, programs[label], function, entries, [], reference_steps=min(reference_steps, 1))
    return {
        "kind": "loss",
        "programs": programs,
        "groups": [[*programs, "pytorch"]],
        "peer": {"kind": "loss", "batch_size": case.batch_size, "width": case.width, "lambd": LAMBD, "bfloat16": False},
        "images": case.batch_size,
        # The D×D form's three products; a form that needs fewer has a larger share of the card's rate than it uses.
        "operations": 6 * case.batch_size * case.width**2,
        "bfloat16": False,
        "case": asdict(case),
    }


def _trace_inference(name: str, case: InferenceCase, folder: Path, reference_steps: int) -> dict[str, Any]:
    with library.tracing_for_a_gpu():
        encoder = library.inference_encoder(case)
        images = {"shape": [case.batch_size, case.image_size, case.image_size, library.CHANNELS], **_PIXELS}
        function = library.feature_function(encoder, library.DEFAULT_AUGMENT)
        steps = min(reference_steps, 1)
        write_program(folder, f"{name}.features", function, [images], encoder.variables, reference_steps=steps)
    return {
        "kind": "inference",
        "programs": {"features": f"{name}.features"},
        "groups": [["features", "pytorch"]],
        "peer": {**_peer(case), "kind": "inference"},
        "images": case.batch_size,
        "operations": 2 * case.batch_size * multiply_adds(encoder),
        "bfloat16": case.bfloat16,
        "case": asdict(case),
    }


def _trace_training(name: str, case: TrainingCase, folder: Path, reference_steps: int) -> dict[str, Any]:
    """Writes the training step and the features' program for the images of data.npz, see `packing`."""
    facts = json.loads((folder / "data.json").read_text(encoding="utf-8"))
    recipe = library.read_recipe(case.recipe, case.overrides)
    batch, size = recipe.train.batch_size, facts["image_size"]
    channels = recipe.data.channels
    inputs = [
        {"shape": [facts["train"], size, size, channels], **_PIXELS},
        {"shape": [batch], "dtype": "int64", "rule": {"integers": [0, facts["train"]]}},
        {"shape": [], "dtype": "int64", "rule": {"constant": 0}},
    ]
    with library.tracing_for_a_gpu():
        model, schedules = library.recipe_model(recipe)
        step = write_program(
            folder,
            f"{name}.step",
            library.training_step(model, recipe),
            inputs,
            [*model.variables, *model.optimizer.variables],
            reference_steps=reference_steps,
        )
        images = {"shape": [case.feature_batch, size, size, channels], **_PIXELS}
        function = library.feature_function(model.encoder, recipe.augment)
        features = write_program(folder, f"{name}.features", function, [images], model.encoder.variables)
    path_of_argument = {entry["path"]: len(inputs) + i for i, entry in enumerate(step["variables"])}
    optimizer = {variable.path.rsplit("/", 1)[-1]: variable.path for variable in model.optimizer.variables}
    return {
        "kind": "training",
        "programs": {"step": f"{name}.step", "features": f"{name}.features"},
        "batch_size": batch,
        "seed": recipe.train.seed,
        # Argument of the step -> settings of the rate's schedule.
        "rates": {path_of_argument[optimizer[rate]]: settings for rate, settings in schedules.items()},
        # Arguments of the step that are the encoder's weights, in the order of `encoder.weights`, and those that the
        # features' program takes.
        "encoder": [path_of_argument[variable.path] for variable in model.encoder.weights],
        "feature_arguments": [path_of_argument[entry["path"]] for entry in features["variables"]],
        "bfloat16": recipe.train.precision == "mixed_bfloat16",
        "recipe_name": case.recipe,
        "recipe": library.recipe_text(recipe),
        "case": asdict(case),
    }


def _peer(case: StepCase | InferenceCase) -> dict[str, Any]:
    """Returns what the PyTorch half needs to build the same network; None where it has no such depth or width."""
    return {
        "depth": int(case.encoder.removeprefix("resnet")) if case.encoder.removeprefix("resnet").isdigit() else None,
        "small_stem": case.image_size < 64,
        "image_size": case.image_size,
        "batch_size": case.batch_size,
        "bfloat16": case.bfloat16,
    }


_TRACERS = {
    StepCase: _trace_step,
    LossCase: _trace_loss,
    InferenceCase: _trace_inference,
    TrainingCase: _trace_training,
}
