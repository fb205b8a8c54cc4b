"""Inference of the exported files beside PyTorch and onnxruntime: the same network, the same machine, in turns.

ResNet-18 and ResNet-50 without a classifier at 224 pixels, float32 (and full-integer LiteRT), random weights, all
runtimes with two threads on two cores. Images lie in memory as the runtime takes them; nothing is decoded. Every
measurement is a fresh process; processes of the runtimes alternate, so that what else the machine does meets all of
them. PyTorch runs eagerly under `inference_mode` in whichever memory format is faster here, after its outputs have
been compared with the SavedModel's.

Command: python -m benchmarks.serving [--quick]
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine

THREADS = 2
SIZE = 224
DEPTHS = (18, 50)
BATCHES = (1, 32)
RUNTIMES = ("saved-model", "litert-float32", "litert-int8", "onnxruntime", "torch-contiguous", "torch-channels_last")
_WARM_UP = {1: 5, 32: 1}
_REPEATS = {1: 20, 32: 3}
_ROUNDS = 3
_REPRESENTATIVE = 8


def write_models(folder: Path, depth: int) -> None:
    """Writes one network for all runtimes into a folder: SavedModel, LiteRT, ONNX and the tensors for PyTorch."""
    from barlowtf.convert import named_weights, to_torch_layout
    from barlowtf.export import Parts, convert_litert, write_onnx, write_saved_model
    from barlowtf.models import make_encoder

    encoder = make_encoder(f"resnet{depth}", image_shape=(SIZE, SIZE, 3), dtype="float32")
    r = np.random.default_rng(depth)
    for weight in encoder.weights:
        # Not the first weights: there the last normalization of each block gives nothing but zeros.
        if weight.name != "kernel":
            low, high = (0.5, 1.0) if weight.name in ("gamma", "moving_variance") else (-0.1, 0.1)
            weight.assign(r.uniform(low, high, weight.shape))
    parts = Parts(encoder, None, None, SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), None)
    write_saved_model(parts, folder / "saved-model")
    write_onnx(parts, folder / "model.onnx")
    views = _images(_REPRESENTATIVE)
    for variant, content in convert_litert(parts, ("float32", "int8"), views).items():
        (folder / f"{variant}.tflite").write_bytes(content)
    tensors = {name: to_torch_layout(weight.variable.numpy()) for name, weight in named_weights(encoder).items()}
    np.savez(folder / "tensors.npz", **tensors)


def _images(count: int) -> np.ndarray:
    """Returns smooth random images, uint8 [count, SIZE, SIZE, 3]."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, SIZE // 16, SIZE // 16, 3), np.uint8)
    return coarse.repeat(16, axis=1).repeat(16, axis=2)


def load_saved_model(folder: Path, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Returns a call of the signature that takes views as they are."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    loaded = tf.saved_model.load(str(folder / "saved-model"))
    floats = tf.constant(images.astype(np.float32) / 255)
    return lambda: loaded.signatures["float_images"](images=floats)["features"].numpy()


def load_litert(folder: Path, images: np.ndarray, variant: str) -> Callable[[], np.ndarray]:
    """Returns a call of a LiteRT file, its input resized to the batch once."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(folder / f"{variant}.tflite"), num_threads=THREADS)
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(source["index"], images.shape)
    interpreter.allocate_tensors()
    given = images if variant == "int8" else images.astype(np.float32) / 255

    def call() -> np.ndarray:
        interpreter.set_tensor(source["index"], given)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return call


def load_onnxruntime(folder: Path, images: np.ndarray) -> Callable[[], np.ndarray]:
    """Returns a call of the ONNX file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"])
    floats = images.astype(np.float32) / 255
    return lambda: session.run(["features"], {session.get_inputs()[0].name: floats})[0]


def load_torch(folder: Path, images: np.ndarray, depth: int, *, channels_last: bool) -> Callable[[], np.ndarray]:
    """Returns a call of the same network in PyTorch, which normalizes its images itself, too."""
    import torch

    from benchmarks.torch_peer import make_encoder

    torch.set_num_threads(THREADS)
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    model, _ = make_encoder(depth, small_stem=False)
    own = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    with np.load(folder / "tensors.npz") as tensors:
        # Both name their layers in the order of the network.
        values = [torch.tensor(tensors[name]) for name in tensors.files]
    model.load_state_dict(dict(zip(own, values, strict=True)), strict=False)
    model = model.eval().to(memory_format=memory_format)
    mean, std = (torch.tensor(value)[:, None, None] for value in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    floats = torch.tensor(images.astype(np.float32) / 255).permute(0, 3, 1, 2).contiguous(memory_format=memory_format)

    def call() -> np.ndarray:
        with torch.inference_mode():
            return model((floats - mean) / std).numpy()

    return call


def measure(folder: Path, depth: int, runtime: str) -> dict[str, Any]:
    """Returns the seconds of each call by batch size, peak memory, and the features of the first image."""
    result: dict[str, Any] = {"seconds": {}}
    for batch in BATCHES:
        images = _images(batch)
        if runtime == "saved-model":
            call = load_saved_model(folder, images)
        elif runtime == "onnxruntime":
            call = load_onnxruntime(folder, images)
        elif runtime.startswith("litert"):
            call = load_litert(folder, images, runtime.partition("-")[2])
        else:
            call = load_torch(folder, images, depth, channels_last=runtime.endswith("channels_last"))
        result["seconds"][batch] = machine.time_calls(call, warm_up=_WARM_UP[batch], repeats=_REPEATS[batch])
        result["features"] = call()[0].astype(float).tolist()
    result["peak_memory_bytes"] = machine.peak_memory_bytes()
    return result


def compare(depth: int, rounds: int) -> dict[str, Any]:
    """Returns all runtimes' figures for one network."""
    with tempfile.TemporaryDirectory() as folder:
        machine.run_child("benchmarks.serving", "--write", folder, str(depth), threads=THREADS)
        runs: dict[str, list[dict[str, Any]]] = {runtime: [] for runtime in RUNTIMES}
        for _ in range(rounds):
            for runtime in RUNTIMES:
                arguments = ("--child", folder, str(depth), runtime)
                runs[runtime].append(machine.run_child("benchmarks.serving", *arguments, threads=THREADS))
    expected = np.array(runs["saved-model"][0]["features"])
    summaries = {runtime: _summarize(of_runtime) for runtime, of_runtime in runs.items()}
    for runtime, of_runtime in runs.items():
        if runtime != "litert-int8":  # Its features are integers with a scale of their own.
            difference = np.abs(np.array(of_runtime[0]["features"]) - expected).max() / np.abs(expected).max()
            summaries[runtime]["largest_relative_difference_from_saved_model"] = float(difference)
    return summaries


def _summarize(runs: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"peak_memory_gib": round(max(run["peak_memory_bytes"] for run in runs) / 2**30, 3)}
    for batch in BATCHES:
        seconds = [value for run in runs for value in run["seconds"][str(batch)]]
        summary[f"batch_{batch}"] = {
            "median_milliseconds": round(1000 * machine.median(seconds), 2),
            "images_per_second": round(batch / machine.median(seconds), 2),
            "raw_seconds_per_process": [run["seconds"][str(batch)] for run in runs],
        }
    return summary


def _ratios(networks: dict[str, Any]) -> dict[str, Any]:
    """Returns how much faster the SavedModel and LiteRT float32 are than the better PyTorch and than onnxruntime."""
    ratios: dict[str, Any] = {}
    for network, runtimes in networks.items():
        for batch in BATCHES:
            speed = {name: runtimes[name][f"batch_{batch}"]["images_per_second"] for name in RUNTIMES}
            torch = max(speed["torch-contiguous"], speed["torch-channels_last"])
            ratios[f"{network} batch {batch}"] = {
                f"{ours}/{theirs}": round(speed[ours] / other, 3)
                for ours in ("saved-model", "litert-float32", "litert-int8")
                for theirs, other in (("torch", torch), ("onnxruntime", speed["onnxruntime"]))
            }
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round, ResNet-18 alone: a look, not a figure")
    parser.add_argument("--write", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    machine.pin(THREADS)
    if options.write:
        write_models(Path(options.write[0]), int(options.write[1]))
        sys.stdout.write("{}\n")
        return
    if options.child:
        folder, depth, runtime = options.child
        sys.stdout.write(json.dumps(measure(Path(folder), int(depth), runtime)) + "\n")
        return
    networks = {}
    for depth in DEPTHS[:1] if options.quick else DEPTHS:
        networks[f"resnet{depth}"] = compare(depth, 1 if options.quick else _ROUNDS)
        for runtime, summary in networks[f"resnet{depth}"].items():
            figures = "  ".join(f"{summary[f'batch_{batch}']['images_per_second']:8.1f}" for batch in BATCHES)
            sys.stderr.write(f"resnet{depth:<4}{runtime:<22}{figures} images/s at batch {BATCHES}\n")
    settings = {"threads": THREADS, "image_size": SIZE, "warm_up": _WARM_UP, "repeats": _REPEATS, "rounds": _ROUNDS}
    result = {"settings": settings, "ratios": _ratios(networks), "networks": networks}
    path = machine.write_result("serving-quick" if options.quick else "serving", result)
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
