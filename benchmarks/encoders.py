"""Each kind of encoder from end to end: pre-trained, resumed, measured, exported to each format.

The smallest network of each architecture, on crops of the two photographs in scikit-learn: two steps of 16 images of 32
pixels, float32, AdamW. The run is then taken up again after its first step, and all weights are compared with those of
the unbroken run. Exports are compared by the command itself, in a fresh process, with the layers as they were trained;
differences are relative to the largest feature. Every encoder is a process of its own; pretrain's seconds are those of
building, tracing and training together.

Command: python -m benchmarks.encoders [NAME ...]
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine

THREADS = 2
SIZE = 32
# Member of the smallest size of each architecture -> what to call the architecture.
ENCODERS = {
    "resnet10_w0p25": "ResNet v1.5",
    "keras:MobileNetV2": "MobileNetV2",
    "keras:MobileNetV3Small": "MobileNetV3",
    "keras:EfficientNetV2B0": "EfficientNetV2",
    "keras:ConvNeXtTiny": "ConvNeXt",
    "keras:ResNet50V2": "ResNetV2",
    "keras:DenseNet121": "DenseNet",
    "vit_ti4": "ViT",
}
# The other formats are for ResNets alone.
FORMATS = ("saved-model", "tflite", "onnx", "keras")
_IMAGES, _BATCH = 32, 16


def write_photographs(folder: Path, count: int = _IMAGES) -> None:
    """Writes crops of two photographs as class folders, `count` for training and half as many for tests."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    for label, photograph in enumerate(load_sample_images().images):
        for split, number in (("train", count // 2), ("test", count // 4)):
            place = folder / split / f"photograph{label}"
            place.mkdir(parents=True)
            for index in range(number):
                top, left = (37 * index) % 380, (53 * index + 11 * (split == "test")) % 590
                Image.fromarray(photograph[top : top + 40, left : left + 40]).save(place / f"{index}.png")


def recipe_settings(name: str, source: Path) -> list[str]:
    """Returns the settings, on top of the recipe `digits`, of a run of two steps."""
    return [
        *(f"model.encoder={name}", 'model.stem="auto"', "model.projector=[32,32]", "optimizer.learning_rate=0.001"),
        *(f'data.source="{source}"', "data.channels=3", f"augment.size={SIZE}", f"train.batch_size={_BATCH}"),
        *("augment.mean=[0.485,0.456,0.406]", "augment.std=[0.229,0.224,0.225]", "optimizer.warmup_epochs=0"),
        *(
            "train.epochs=1",
            "checkpoint.every_steps=1",
            "monitor.knn_every_epochs=none",
            "monitor.collapse_every_epochs=none",
        ),
    ]


def take_up_again(run: Path, copy: Path) -> None:
    """Copies a finished run as it would be after a kill behind its first step."""
    shutil.copytree(run, copy)
    for file in (copy / "encoder.keras", copy / "encoder.projector.keras"):
        file.unlink()
    for checkpoint in sorted((copy / "checkpoints").iterdir())[1:]:
        shutil.rmtree(checkpoint)


def differing_values(one: Path, other: Path) -> int:
    """Returns the number of weights that differ between two runs' encoders and projectors."""
    import keras
    import numpy as np

    differing = 0
    for name in ("encoder.keras", "encoder.projector.keras"):
        models = [keras.models.load_model(folder / name) for folder in (one, other)]
        pairs = zip(*(model.get_weights() for model in models), strict=True)
        differing += sum(int(np.sum(a != b)) for a, b in pairs)
    return differing


def measure(name: str) -> dict[str, Any]:
    """Returns what became of one encoder."""
    from barlowtf import experiment
    from barlowtf.config import load_recipe
    from barlowtf.errors import BarlowTFError

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_photographs(folder / "photographs")
        recipe = load_recipe("digits", recipe_settings(name, folder / "photographs"))
        run, again = folder / "run", folder / "again"
        started = time.perf_counter()
        info = experiment.pretrain(experiment.PretrainRequest(recipe, run))
        result: dict[str, Any] = {"pretrain": {"seconds": round(time.perf_counter() - started, 1)}}
        take_up_again(run, again)
        experiment.pretrain(experiment.PretrainRequest(recipe, again))
        result["resume"] = {"differing_values": differing_values(run, again), "parameters": info.parameters}
        request = experiment.EvaluateRequest(
            ("knn", "linear-fast"), (str(run),), recipe.data.source, overrides=("knn.neighbors=[3]",)
        )
        results = experiment.evaluate(request)
        facts = results[0].encoder
        result |= {"feature_width": facts.feature_width, "encoder_parameters": facts.parameters}
        result["evaluate"] = {record.protocol: round(record.scores["top1"], 4) for record in results}
        result["export"] = {}
        for form in FORMATS:
            variants = ("float32", "int8") if form == "tflite" else None
            request = experiment.ExportRequest(str(run), form, images=32, representative=32, variants=variants)
            try:
                record = experiment.export(request)
            except BarlowTFError as error:
                result["export"][form] = {"refused": str(error)}
                continue
            figures = {form if file == "." else file: _figures(found) for file, found in record.files.items()}
            result["export"][form] = {"seconds": record.seconds, "files": figures}
    return result


def _figures(found: Any) -> dict[str, Any]:
    difference = found.largest_difference["features"] / found.largest_value["features"]
    return {
        "relative_difference": float(f"{difference:.3g}"),
        "least_cosine": round(found.least_cosine, 5),
        "bytes": found.bytes,
        "milliseconds": found.milliseconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="encoders to measure anew; none: one of each architecture")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        machine.pin(THREADS)
        sys.stdout.write(json.dumps(measure(options.child)) + "\n")
        return
    file = machine.RESULTS / "encoders.json"
    known = json.loads(file.read_text(encoding="utf-8"))["encoders"] if options.names and file.exists() else {}
    for name in options.names or ENCODERS:
        started = time.perf_counter()
        found = machine.run_child("benchmarks.encoders", "--child", name, threads=THREADS)
        known[name] = {
            "architecture": ENCODERS.get(name, "?"),
            **found,
            "seconds": round(time.perf_counter() - started),
        }
        sys.stderr.write(f"{name}: {json.dumps(known[name])}\n")
    settings = {"images": _IMAGES, "batch_size": _BATCH, "size": SIZE, "threads": THREADS}
    ordered = {name: known[name] for name in (*ENCODERS, *known) if name in known}
    sys.stderr.write(f"{machine.write_result('encoders', {'settings': settings, 'encoders': ordered})}\n")


if __name__ == "__main__":
    main()
