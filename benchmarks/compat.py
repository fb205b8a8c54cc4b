"""TensorFlow 2.15 and TensorFlow Addons 0.23 against this version: exports, LAMB, Gaussian blur.

Command: make compat, or python -m benchmarks.compat --old PYTHON [--saved-model FOLDER] [--images FOLDER]

PYTHON is that of an environment with benchmarks/compat_requirements.txt. Without a folder a small SavedModel is made.
"""

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from barlowtf.augment import gaussian_blur
from barlowtf.errors import BarlowTFError, ConfigError
from barlowtf.optim import LAMB
from benchmarks import machine
from benchmarks.array_files import load_arrays, save_arrays
from benchmarks.compat_old import run_signatures
from benchmarks.real_images import decoded, image_files, signature_inputs
from benchmarks.small_saved_model import write_small_saved_model

RECORDED = machine.ROOT / "tests" / "golden" / "tfa.npz"
DECAYS = ("0.0", "0.01")
# Recorded noise up to 4 in size; two photographs in [0, 1] with the kernel and the ends of the recipes' range of sigma.
BLURS = ("blur", "photographs")
PHOTOGRAPH_SIGMAS = (0.1, 1.0, 2.0)
# What is asked of exports; float32 rounding of six LAMB steps, as in the tests; float32 rounding of the sums of
# 23 × 23 terms that TensorFlow Addons takes, whose distance from float64 stands in the result.
TOLERANCES = {"saved_model": 1e-5, "lamb": 1e-6, "blur": 5e-6}


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    """Returns max |one - other|, infinite where one alone is NaN; of labels and bools the share that differs.

    Raises:
        ValueError: Shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"Received shapes {one.shape} and {other.shape}. Expected equal ones.")
    if not one.size:
        return 0.0
    if one.dtype.kind not in "fiu":
        return float(np.mean(one != other))
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64))
    difference[np.isnan(one) & np.isnan(other)] = 0.0
    return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max())


def addons_inputs() -> dict[str, np.ndarray]:
    """Returns the inputs of tests/golden/tfa.npz and those of the photographs; see `compat_old.run_addons`."""
    with np.load(RECORDED) as recorded:
        arrays = {key: recorded[key] for key in recorded if "after" not in key and "reflect" not in key}
    photographs = [decoded(file) for group, file in image_files() if group == "photographs"]
    arrays["photographs/image"] = np.stack(photographs).astype(np.float32) / np.float32(255)
    for i, sigma in enumerate(PHOTOGRAPH_SIGMAS):
        arrays[f"photographs/{i}/sigma"], arrays[f"photographs/{i}/filter_shape"] = np.float32(sigma), np.array(23)
    return arrays


def lamb_differences(inputs: dict[str, np.ndarray], old: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Returns {decay: {optimizer: largest difference of a parameter to TensorFlow Addons over all steps}}."""
    rate, epsilon = float(inputs["lamb/learning_rate"]), float(inputs["lamb/epsilon"])
    differences = {}
    for decay in DECAYS:
        optimizers = {
            "barlowtf.optim.LAMB": LAMB(rate, weight_decay=float(decay), epsilon=epsilon),
            "keras.optimizers.Lamb": keras.optimizers.Lamb(rate, weight_decay=float(decay) or None, epsilon=epsilon),
        }
        differences[decay] = {
            name: _largest(old, _lamb_steps(optimizer, inputs, f"lamb/wd{decay}"))
            for name, optimizer in optimizers.items()
        }
    return differences


def _lamb_steps(optimizer: keras.optimizers.Optimizer, inputs: dict[str, np.ndarray], name: str) -> dict[str, Any]:
    parameters = range(sum(key.startswith("lamb/start/") for key in inputs))
    variables = [keras.Variable(inputs[f"lamb/start/{i}"]) for i in parameters]
    after = {}
    for t in range(sum(key.startswith("lamb/grad/") for key in inputs) // len(variables)):
        optimizer.apply([tf.constant(inputs[f"lamb/grad/{t}/{i}"]) for i in parameters], variables)
        after.update({f"{name}/after/{t}/{i}": variable.numpy() for i, variable in enumerate(variables)})
    return after


def blur_differences(inputs: dict[str, np.ndarray], old: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Returns for each group the largest differences of a pixel over all sigmas.

    "to_addons": of `gaussian_blur` to TensorFlow Addons; "float64_to_addons" and "float64_to_ours": of SciPy's filter
    in float64, which says how much of it is their rounding and how much ours.
    """
    differences = {}
    for group in BLURS:
        images, ours, exact = inputs[f"{group}/image"], {}, {}
        for i in range(sum(key.startswith(f"{group}/") and key.endswith("/sigma") for key in inputs)):
            size, sigma = int(inputs[f"{group}/{i}/filter_shape"]), float(inputs[f"{group}/{i}/sigma"])
            name = f"{group}/{i}/reflect"
            ours[name] = gaussian_blur(images, sigma, kernel_size=size).numpy()
            # SciPy's "mirror" is TensorFlow's "reflect".
            exact[name] = gaussian_filter(
                images.astype(np.float64), sigma, mode="mirror", radius=size // 2, axes=(1, 2)
            )
        differences[group] = {
            "to_addons": _largest(old, ours),
            "float64_to_addons": _largest(old, exact),
            "float64_to_ours": _largest(ours, exact),
        }
    return differences


def _largest(old: dict[str, np.ndarray], ours: dict[str, np.ndarray]) -> float:
    return max(largest_difference(old[key], value) for key, value in ours.items())


def write_signature_jobs(saved_model: Path, images: Path | None, folder: Path) -> list[dict[str, str]]:
    """Writes inputs for every signature as folder/signature-i.npz; returns the jobs for `run_signatures`.

    Raises:
        ConfigError: A signature has not one input.
        DataError: Its input is of an unknown kind; no images.
    """
    model, files, jobs = tf.saved_model.load(str(saved_model)), image_files(images), []
    for signature, function in model.signatures.items():
        specs = function.structured_input_signature[1]
        if len(specs) != 1:
            raise ConfigError(f"Received signature {signature} with inputs {', '.join(specs)}. Expected one input.")
        ((name, spec),) = specs.items()
        for group, batch in signature_inputs(files, spec):
            jobs.append({"file": f"signature-{len(jobs)}.npz", "signature": signature, "group": group})
            save_arrays(folder / jobs[-1]["file"], {name: batch})
    return jobs


def signature_differences(jobs: list[dict[str, str]], old: Path, new: Path) -> dict[str, Any]:
    """Returns for each signature the rows of each group of images, and for each output its largest difference.

    Args:
        jobs: See `write_signature_jobs`.
        old: Folder of the outputs of TensorFlow 2.15.
        new: That of this TensorFlow.
    """
    signatures: dict[str, Any] = {}
    for job in jobs:
        one, other = (load_arrays(folder / job["file"]) for folder in (old, new))
        if one.keys() != other.keys():
            raise ValueError(f"Received outputs {sorted(one)} and {sorted(other)}. Expected equal ones.")
        entry = signatures.setdefault(job["signature"], {"rows": {}, "outputs": {}})
        entry["rows"][job["group"]] = entry["rows"].get(job["group"], 0) + len(next(iter(one.values())))
        for name, value in one.items():
            output = entry["outputs"].setdefault(name, {"largest_difference": 0.0})
            output["largest_difference"] = max(output["largest_difference"], largest_difference(value, other[name]))
            if value.dtype.kind == "f":
                output["largest_value"] = max(output.get("largest_value", 0.0), float(np.abs(other[name]).max()))
    return signatures


def beyond(result: dict[str, Any]) -> list[str]:
    """Returns a line for each difference that is larger than its tolerance."""
    measured = [
        (f"signature {signature}, {name}", output["largest_difference"], TOLERANCES["saved_model"])
        for signature, entry in result["saved_model"]["signatures"].items()
        for name, output in entry["outputs"].items()
    ]
    measured += [
        (f"LAMB, decay {decay}", by_optimizer["barlowtf.optim.LAMB"], TOLERANCES["lamb"])
        for decay, by_optimizer in result["lamb"].items()
    ]
    measured += [(f"blur, {group}", value["to_addons"], TOLERANCES["blur"]) for group, value in result["blur"].items()]
    return [f"{name}: {value:.2g}, at most {limit:g} asked" for name, value, limit in measured if not value <= limit]


def table(result: dict[str, Any]) -> str:
    """Returns two Markdown tables: the README's of TensorFlow Addons, and the signatures."""
    lamb, blur = result["lamb"], result["blur"]

    def decays(name: str) -> str:
        return ", ".join(f"{lamb[decay][name]:.1e} with weight decay {decay}" for decay in DECAYS)

    lines = [
        "| from TensorFlow Addons | here | largest difference |",
        "|---|---|---|",
        f"| `tfa.optimizers.LAMB` | `barlowtf.optim.LAMB` | {decays('barlowtf.optim.LAMB')} |",
        f"| | `keras.optimizers.Lamb` | {decays('keras.optimizers.Lamb')} |",
        "| `tfa.image.gaussian_filter2d` | `barlowtf.augment.gaussian_blur` | "
        f"{blur['photographs']['to_addons']:.1e} on photographs in [0, 1] "
        f"(float64 to Addons {blur['photographs']['float64_to_addons']:.1e}, "
        f"to ours {blur['photographs']['float64_to_ours']:.1e}) |",
        "",
        f"| signature | rows | TensorFlow {result['old_versions']['tensorflow']} to {tf.__version__} |",
        "|---|---|---|",
    ]
    for signature, entry in result["saved_model"]["signatures"].items():
        outputs = ", ".join(f"{name} {value['largest_difference']:.1e}" for name, value in entry["outputs"].items())
        lines.append(f"| `{signature}` | {sum(entry['rows'].values())} | {outputs} |")
    return "\n".join(lines)


def compare(old_python: Path, saved_model: Path | None, images: Path | None) -> dict[str, Any]:
    """Returns the result of the benchmark.

    Raises:
        ConfigError: `old_python` or the SavedModel is not there.
        RuntimeError: The old environment failed.
    """
    if not old_python.exists():
        raise ConfigError(f"Received --old {old_python}, which is not there. Run `make compat`, which makes it.")
    if saved_model is not None and not (saved_model / "saved_model.pb").exists():
        raise ConfigError(
            f"Received {saved_model}. Expected the folder that holds saved_model.pb, NAME/1 of an export."
        )
    with tempfile.TemporaryDirectory() as temporary:
        given, old, new = (Path(temporary, name) for name in ("inputs", "old", "new"))
        for folder in (given, old, new):
            folder.mkdir()
        path = (saved_model or write_small_saved_model(Path(temporary, "small"))).absolute()
        inputs, signatures = addons_inputs(), write_signature_jobs(path, images, given)
        save_arrays(given / "addons.npz", inputs)
        jobs = {"saved_model": str(path), "signatures": signatures, "decays": DECAYS, "blurs": BLURS}
        (given / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
        threads, python = len(os.sched_getaffinity(0)), str(old_python.absolute())
        versions = machine.run_child("benchmarks.compat_old", str(given), str(old), threads=threads, python=python)
        run_signatures(str(path), signatures, given, new)
        recomputed = load_arrays(old / "addons.npz")
        with np.load(RECORDED) as recorded:
            again = {key: recorded[key] for key in recorded if "after" in key or "reflect" in key}
        return {
            "old_versions": versions,
            "tolerances": TOLERANCES,
            "saved_model": {
                "model": "/".join(path.parts[-2:]) if saved_model else "benchmarks.small_saved_model",
                "signatures": signature_differences(signatures, old, new),
            },
            "lamb": lamb_differences(inputs, recomputed),
            "blur": blur_differences(inputs, recomputed),
            "recomputed_to_recorded": _largest(recomputed, again),
        }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compat")
    parser.add_argument("--old", type=Path, default=machine.ROOT / ".compat" / "bin" / "python")
    parser.add_argument("--saved-model", type=Path, help="folder that holds saved_model.pb")
    parser.add_argument("--images", type=Path, help="folder of images instead of scikit-learn's")
    given = parser.parse_args()
    try:
        result = compare(given.old, given.saved_model, given.images)
    except (BarlowTFError, RuntimeError) as error:
        raise SystemExit(str(error)) from error
    machine.write_result("compat", result)
    print(table(result))
    if too_large := beyond(result):
        raise SystemExit("\n".join(too_large))


if __name__ == "__main__":
    main()
