"""Every export against its source, and every way to load a SavedModel, on real images.

Two encoders: a trained run with its linear classifier, and a ResNet-50 at 224 pixels with random weights. Each is
exported to every format; a fresh process loads the file and compares (barlowtf/export/verification.py). Then the
SavedModel is run by TensorFlow's C API, by `saved_model_cli`, over gRPC, and by an older TensorFlow, each in a process
of its own, on the same images, and compared with `tf.saved_model.load`.

Command: python -m benchmarks.parity --run RUN --data SPEC --photographs SPEC [--old PYTHON]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import keras
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from barlowtf.encoders.loading import load
from barlowtf.experiment import ExportRequest, export
from barlowtf.export.samples import Sample, open_sample
from barlowtf.export.warmup import predict_request
from barlowtf.models import make_encoder
from benchmarks import machine
from benchmarks.array_files import load_arrays, save_arrays
from benchmarks.compat import largest_difference
from tests.doubles.prediction_service import running

FORMATS = ("saved-model", "keras", "onnx", "torch", "tflite")
ROWS = 32
Outputs = dict[str, np.ndarray]


def export_all(folder: Path, encoder: str, head: str | None, source: str, images: int) -> dict[str, Any]:
    """Returns the figures of each file of each format, and the accuracy of the source where there are labels."""
    figures = {}
    for file_format in FORMATS:
        request = ExportRequest(
            encoder, file_format, folder / file_format, head, source=source, images=images, accept_loss=True
        )
        for name, found in export(request).files.items():
            figures["saved-model" if name == "." else name] = found.model_dump(mode="json", exclude_none=True)
            sys.stderr.write(f"{name:<22}{found.largest_difference}  {found.top1_agreement or ''}\n")
    return figures


def write_random_resnet50(path: Path) -> None:
    """Writes a ResNet-50 whose every weight has a value of its own."""
    encoder = make_encoder("resnet50", image_shape=(224, 224, 3))
    r = np.random.default_rng(0)
    for weight in encoder.weights:
        if weight.name != "kernel":
            low, high = (0.5, 1.0) if weight.name in ("gamma", "moving_variance") else (-0.1, 0.1)
            weight.assign(r.uniform(low, high, weight.shape))
    encoder.save(path)


def inputs_of(sample: Sample) -> dict[str, dict[str, np.ndarray]]:
    """Returns the inputs of the two signatures that take images of any data set."""
    return {
        "float_images": {"images": sample.views.astype(np.float32) / 255},
        "from_jpeg": {"encoded": np.array(sample.encoded, object)},
    }


def load_here(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns what `tf.saved_model.load` gives."""
    model = tf.saved_model.load(str(saved_model))
    (name, array), parts = next(iter(inputs.items())), []
    for start in range(0, len(array), ROWS):
        rows = array[start : start + ROWS]
        tensor = tf.constant(rows.tolist()) if rows.dtype == object else tf.constant(rows)
        parts.append({key: value.numpy() for key, value in model.signatures[signature](**{name: tensor}).items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def by_c_api(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns what TensorFlow's C API gives, in a process without TensorFlow's Python."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.npz"), Path(folder, "out.npz")
        save_arrays(source, inputs)
        words = ["-m", "tests.doubles.c_api", str(saved_model), str(source), str(target), "--signature", signature]
        _run([sys.executable, *words])
        return load_arrays(target)


def by_command_line(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> Outputs | None:
    """Returns what `saved_model_cli run` gives; None for strings, which its NumPy files cut at zero bytes."""
    ((name, array),) = inputs.items()
    if array.dtype == object:
        return None
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder, "in.npy"), array)
        out = Path(folder, "out")
        out.mkdir()
        words = ["run", "--dir", str(saved_model), "--tag_set", "serve", "--signature_def", signature]
        words += ["--inputs", f"{name}={folder}/in.npy", "--outdir", str(out)]
        _run([str(Path(sys.executable).with_name("saved_model_cli")), *words])
        return {file.stem: np.load(file, allow_pickle=True) for file in out.glob("*.npy")}


def by_grpc(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> Outputs:
    """Returns what a PredictionService on loopback gives, in requests of `ROWS` rows."""
    ((name, array),) = inputs.items()
    parts = []
    with running(saved_model.parent) as server:
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"localhost:{server.port}", options) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            for start in range(0, len(array), ROWS):
                rows = {name: array[start : start + ROWS]}
                request = predict_pb2.PredictRequest.FromString(predict_request(server.model, signature, rows))
                response = stub.Predict(request, timeout=120)
                parts.append({key: tf.make_ndarray(tensor) for key, tensor in response.outputs.items()})
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def by_older_tensorflow(python: Path) -> Callable[[Path, str, dict[str, np.ndarray]], Outputs]:
    """Returns a loader by the TensorFlow of another environment."""

    def load(saved_model: Path, signature: str, inputs: dict[str, np.ndarray]) -> Outputs:
        with tempfile.TemporaryDirectory() as folder:
            given, results = Path(folder, "in"), Path(folder, "out")
            given.mkdir()
            results.mkdir()
            save_arrays(given / "job.npz", inputs)
            code = (
                "import sys; from pathlib import Path; from benchmarks.compat_old import run_signatures; "
                "jobs = [{'file': 'job.npz', 'signature': sys.argv[2]}]; "
                "run_signatures(sys.argv[1], jobs, Path(sys.argv[3]), Path(sys.argv[4]))"
            )
            _run([str(python), "-c", code, str(saved_model), signature, str(given), str(results)])
            return load_arrays(results / "job.npz")

    return load


def _run(words: list[str]) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(words, cwd=machine.ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words[:4])} failed:\n{done.stderr[-3000:]}")


def compare_loaders(saved_model: Path, sample: Sample, old: Path | None) -> dict[str, Any]:
    """Returns for each loader and signature the largest difference of each output from `tf.saved_model.load`."""
    loaders: dict[str, Callable] = {"c_api": by_c_api, "saved_model_cli": by_command_line, "grpc": by_grpc}
    if old is not None:
        loaders["tensorflow_2_15"] = by_older_tensorflow(old)
    result: dict[str, Any] = {}
    for signature, inputs in inputs_of(sample).items():
        expected = load_here(saved_model, signature, inputs)
        for name, loader in loaders.items():
            found = loader(saved_model, signature, inputs)
            if found is None:
                continue
            differences = {key: largest_difference(value, found[key]) for key, value in expected.items()}
            result.setdefault(name, {})[signature] = differences
            sys.stderr.write(f"{name:<18}{signature:<14}{differences}\n")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a finished run with a result of linear-fast")
    parser.add_argument("--data", required=True, help="SPEC of its images")
    parser.add_argument("--photographs", required=True, help="SPEC of photographs")
    parser.add_argument("--old", type=Path, help="Python of an environment with TensorFlow 2.15")
    options = parser.parse_args()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        keras_file = Path(folder, "resnet50.keras")
        write_random_resnet50(keras_file)
        keras.backend.clear_session()
        for name, encoder, head, source, images in (
            ("trained", options.run, "linear-fast", options.data, 1000),
            ("resnet50", str(keras_file), None, options.photographs, 100),
        ):
            place = Path(folder, name)
            files = export_all(place, encoder, head, source, images)
            sample = open_sample(source, load(encoder), images)
            loaders = compare_loaders(place / "saved-model" / "1", sample, options.old)
            result[name] = {"images": len(sample.views), "source": sample.name, "files": files, "loaders": loaders}
    path = machine.write_result("parity", json.loads(json.dumps(result).replace(f"{folder}/", "")))
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
