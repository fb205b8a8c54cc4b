"""Exports loaded by programs that nobody here wrote: how far their outputs are from those of the Keras model.

A run with a classifier is exported in every form; each program of `benchmarks.reach_programs` loads one in an
environment of its own, made where it is missing, and gives the outputs of some test images. Kept are, for each program
and file, its version, the largest difference of the features, absolute and relative to the largest feature, and the
share of the images of the same class. Writes results/reach.json.

Command: python -m benchmarks.reach RUN --environments FOLDER [--photographs FOLDER] [--images 1000] [--only WORD]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.reach_environments import NODE, interpreter_of, node_folder

NAME = "reach"
PROGRAMS_FOLDER = Path(__file__).with_name("reach_programs")
HEAD = "linear-fast"
PHOTOGRAPHS_SHOWN = 40


@dataclass(frozen=True)
class Export:
    """An export: format, its settings, its variant where it has some, the file in its folder, whether with the head."""

    file_format: str
    file: str = "."
    settings: tuple[tuple[str, Any], ...] = ()
    variant: str | None = None
    head: bool = True

    @property
    def words(self) -> str:
        """What a table calls it."""
        parts = [self.file_format, *([self.variant] if self.variant else [])]
        return " ".join([*parts, *(f"{name}={value}" for name, value in self.settings)])


@dataclass(frozen=True)
class Program:
    """A program: title, script of `reach_programs`, environment (None: this one), what it loads, its further words."""

    title: str
    script: str
    environment: str | None
    export: Export
    words: tuple[str, ...] = ()


# A word that stands for photographs, as NODE does for a folder of packages.
PHOTOGRAPHS = "photographs"
_SAVED_MODEL = Export("saved-model")
_BY_DEFAULT = Export("saved-model", settings=(("serving_default", "floats"),))
_NHWC, _NCHW = (Export("onnx", "model.onnx", (("layout", layout),)) for layout in ("nhwc", "nchw"))
_HUB, _TORCH = Export("hub"), Export("torch", "model.pth")


def _tflite(variant: str, **settings: Any) -> Export:
    return Export("tflite", f"{variant}.tflite", tuple(settings.items()), variant)


PROGRAMS: Sequence[Program] = (
    Program("TensorFlow, signature float_images", "tensorflow_loads", None, _SAVED_MODEL, ("signature",)),
    Program("TensorFlow, called", "tensorflow_loads", None, _SAVED_MODEL, ("function",)),
    Program("Keras, TFSMLayer", "tensorflow_loads", None, _SAVED_MODEL, ("layer",)),
    Program("TensorFlow Hub, hub.load", "tensorflow_loads", "tensorflow_hub", _SAVED_MODEL, ("hub",)),
    Program("TensorFlow 2.15", "tensorflow_loads", "tensorflow_2_15", _SAVED_MODEL, ("signature",)),
    Program("TensorFlow 2.18", "tensorflow_loads", "tensorflow_2_18", _SAVED_MODEL, ("function",)),
    Program("OpenVINO, function", "open_vino", "openvino", _SAVED_MODEL, ("function",)),
    Program("OpenVINO, path", "open_vino", "openvino", _BY_DEFAULT, ("path",)),
    Program("TensorFlow.js, predict", "tfjs_loads", "tfjs", _SAVED_MODEL, (NODE,)),
    Program("tf2onnx", "tf_to_onnx", None, _SAVED_MODEL),
    Program("onnxruntime", "onnx_runtime", None, _NHWC),
    Program("onnxruntime", "onnx_runtime", None, _NCHW),
    Program("OpenCV DNN, blobFromImages", "opencv_onnx", "opencv", _NCHW),
    Program("onnx2torch", "onnx_to_torch", "timm", _NCHW),
    Program("torchvision", "torchvision_loads", "timm", _TORCH),
    Program("timm", "timm_loads", "timm", _HUB),
    Program("transformers", "transformers_loads", "timm", _HUB),
    Program("KerasHub", "keras_hub_loads", "keras_hub", _HUB, ("values",)),
    Program("KerasHub", "keras_hub_loads", "keras_hub", Export("keras-hub", head=False), ("converter",)),
    *(
        Program("LiteRT, with XNNPACK and without", "litert_xnnpack", None, _tflite(variant))
        for variant in ("float32", "float16", "dynamic-int8", "int8")
    ),
    Program(
        "MediaPipe ImageClassifier",
        "mediapipe_tasks",
        "mediapipe",
        _tflite("float32", batch=1, outputs="probabilities"),
    ),
    Program("MediaPipe ImageEmbedder", "mediapipe_tasks", "mediapipe", _tflite("float32", batch=1, outputs="features")),
    Program(
        "MediaPipe ImageClassifier", "mediapipe_tasks", "mediapipe", _tflite("int8", batch=1, outputs="probabilities")
    ),
    Program("OpenCV DNN", "opencv_tflite", "opencv", _tflite("float32", batch=1, outputs="features")),
    Program("LiteRT.js", "browser", None, _tflite("float32", batch=1), (NODE, PHOTOGRAPHS)),
    Program("LiteRT.js", "browser", None, _tflite("int8", batch=1), (NODE,)),
)


def main() -> None:
    """Exports, lets every program load its file, and writes what was found."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help=f"a run of three channels that was measured by {HEAD}")
    parser.add_argument("--environments", type=Path, required=True, help="folder of the programs' environments")
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files, of which the browser's page cuts views")
    parser.add_argument("--images", type=int, default=1000, help="number of test images")
    parser.add_argument("--only", default="", help="programs whose title holds this; the others keep what was found")
    arguments = parser.parse_args()
    earlier = json.loads((machine.RESULTS / f"{NAME}.json").read_text())["programs"] if arguments.only else []
    kept = [row for row in earlier if arguments.only not in row["program"]]
    photographs = (
        sorted(arguments.photographs.resolve().rglob("*.JPEG"))[:PHOTOGRAPHS_SHOWN] if arguments.photographs else []
    )
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        about, expected = _inputs(arguments.run, arguments.images, place)
        rows, exported = [], {}
        for program in (program for program in PROGRAMS if arguments.only in program.title):
            if program.export not in exported:
                exported[program.export] = _export(arguments.run, program.export, place / f"export{len(exported)}")
            row = _row(
                program, exported[program.export], expected, arguments.environments.resolve(), place, photographs
            )
            print(json.dumps(row), flush=True)
            rows.append(row)
    machine.write_result(NAME, {**about, "programs": sorted(kept + rows, key=_order)})


def _order(row: dict[str, Any]) -> int:
    return [(program.title, program.export.words) for program in PROGRAMS].index((row["program"], row["export"]))


def _inputs(run: Path, images: int, place: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Writes the views that the programs get; returns what is kept of them, and the outputs of the Keras model."""
    from barlowtf.export.origins import open_origin
    from barlowtf.export.samples import open_sample
    from barlowtf.export.verification import source_outputs
    from barlowtf.places import short_spec

    origin = open_origin(str(run), head=HEAD)
    sample = open_sample(origin.data, origin.encoder, images)
    expected = source_outputs(origin.parts, sample.views)
    np.savez(place / "views.npz", views=sample.views, mean=origin.parts.mean, std=origin.parts.std)
    about = {
        "encoder": origin.parts.encoder.name,
        "data": short_spec(sample.name),
        "images": len(sample.views),
        "size": origin.parts.size,
        "largest_feature": float(np.abs(expected["features"]).max()),
    }
    return about | {"bytes": _sizes(origin.parts, place)}, expected


def _sizes(parts: Any, place: Path) -> dict[str, int]:
    """Returns the sizes of two SavedModels of the same network: this project's, and the one of Keras' own export."""
    from barlowtf.export import write_saved_model
    from barlowtf.export.network import inference_network

    write_saved_model(parts, place / "own")
    inference_network(parts).export(str(place / "keras"), verbose=False)
    folders = {"saved-model": place / "own", "keras export": place / "keras"}
    return {
        name: sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        for name, folder in folders.items()
    }


def _export(run: Path, wanted: Export, folder: Path) -> Path:
    """Returns the path of the file in a new export."""
    from barlowtf.experiment import ExportRequest, export

    variants = None if wanted.variant is None else (wanted.variant,)
    request = ExportRequest(
        str(run),
        wanted.file_format,
        out=folder,
        head=HEAD if wanted.head else None,
        variants=variants,
        settings=dict(wanted.settings),
        # What eight bits lose is what the result says.
        accept_loss=True,
    )
    export(request)
    return folder / "1" / wanted.file


def _row(
    program: Program,
    path: Path,
    expected: dict[str, np.ndarray],
    environments: Path,
    place: Path,
    photographs: Sequence[Path] = (),
) -> dict[str, Any]:
    """Returns what a program makes of a file, or why it cannot."""
    row: dict[str, Any] = {"program": program.title, "export": program.export.words}
    python = sys.executable if program.environment is None else interpreter_of(environments / program.environment)
    meanings = {NODE: lambda: [str(node_folder(environments))], PHOTOGRAPHS: lambda: map(str, photographs)}
    words = [given for word in program.words for given in meanings.get(word, lambda word=word: [word])()]
    target = place / "outputs.npz"
    target.unlink(missing_ok=True)
    script = PROGRAMS_FOLDER / f"{program.script}.py"
    command = [python, str(script), str(path), str(place / "views.npz"), str(target), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=place, env={**os.environ, "PYTHONPATH": ""})
    if done.returncode or not target.exists():
        return row | {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    with np.load(target) as arrays:
        found = {name: arrays[name] for name in arrays}
    row["version"] = str(found.pop("version"))
    views = found.pop("photo_views", np.zeros(0))
    if len(views):
        row["views"] = _view_differences(photographs, views)
    row["outputs"] = sorted(found.keys() & expected.keys())
    return row | _differences(expected, found)


def _differences(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns largest differences, and the share of the images of the same class."""
    figures: dict[str, Any] = {"largest_difference": {}, "relative_difference": {}}
    for name in sorted(found.keys() & expected.keys()):
        difference = float(np.abs(found[name].astype(np.float64) - expected[name]).max())
        figures["largest_difference"][name] = difference
        figures["relative_difference"][name] = difference / float(np.abs(expected[name]).max())
    for name in ("logits", "probabilities"):
        if name in found:
            figures["top1_agreement"] = float(np.mean(found[name].argmax(axis=1) == expected[name].argmax(axis=1)))
    without = [name for name in found if name.endswith("_without")]
    if without:
        pairs = {name: (found[name.removesuffix("_without")], found[name]) for name in without}
        figures["without_xnnpack"] = {
            name.removesuffix("_without"): float(np.abs(one - other).max()) for name, (one, other) in pairs.items()
        }
    return figures


def _view_differences(photographs: Sequence[Path], found: np.ndarray) -> dict[str, Any]:
    """Returns how far views of photographs, [M, S * S * 3], are from those that encoders are evaluated on, levels."""
    import tensorflow as tf

    from barlowtf.data import center_view, decode

    size = round((found.shape[1] / 3) ** 0.5)
    views = [center_view(decode(tf.constant(file.read_bytes()), 3), size).numpy() for file in photographs]
    differences = np.abs(np.stack(views).reshape(found.shape).astype(np.float64) - found)
    return {
        "photographs": len(views),
        "largest": float(differences.max()),
        "share_equal": float(np.mean(differences == 0)),
    }


if __name__ == "__main__":
    main()
