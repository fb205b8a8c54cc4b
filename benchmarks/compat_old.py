"""What benchmarks/compat.py asks of the environment with TensorFlow 2.15 and TensorFlow Addons; its Python runs this.

Command: python -m benchmarks.compat_old INPUTS OUTPUTS

INPUTS is a folder with jobs.json, addons.npz and one .npz file for each run of a signature (benchmarks/array_files.py);
files of the same names in OUTPUTS are the answers. The last line printed is JSON: the versions. Imports nothing of
barlowtf.
"""

import json
import platform
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import tensorflow as tf

from benchmarks.array_files import load_arrays, save_arrays


def run_signatures(saved_model: str, jobs: list[dict[str, str]], inputs: Path, outputs: Path) -> None:
    """Runs each job: its "signature" on the arrays of inputs/"file", into outputs/"file"."""
    # Signatures die with the object that `load` returns.
    model = tf.saved_model.load(saved_model)
    for job in jobs:
        given = {}
        for name, array in load_arrays(inputs / job["file"]).items():
            given[name] = tf.constant(array.tolist(), tf.string) if array.dtype == object else tf.constant(array)
        results = model.signatures[job["signature"]](**given)
        save_arrays(outputs / job["file"], {name: value.numpy() for name, value in results.items()})


def run_addons(arrays: dict[str, np.ndarray], decays: list[str], blurs: list[str]) -> dict[str, np.ndarray]:
    """Returns what TensorFlow Addons computes, named as in tests/golden/tfa.npz.

    Args:
        arrays: lamb/start/i, lamb/grad/t/i, lamb/learning_rate; for each BLUR BLUR/image [N, H, W, C] and
            BLUR/i/filter_shape, BLUR/i/sigma.
        decays: Weight decays as they are written in the names.
        blurs: Names of the groups.

    Returns:
        lamb/wdDECAY/after/t/i, the parameters after step t; BLUR/i/reflect.
    """
    import tensorflow_addons as tfa

    results = {}
    steps = sorted({int(key.split("/")[2]) for key in arrays if key.startswith("lamb/grad/")})
    parameters = range(sum(key.startswith("lamb/start/") for key in arrays))
    for decay in decays:
        variables = [tf.Variable(arrays[f"lamb/start/{i}"]) for i in parameters]
        optimizer = tfa.optimizers.LAMB(float(arrays["lamb/learning_rate"]), weight_decay=float(decay))
        for t in steps:
            gradients = [tf.constant(arrays[f"lamb/grad/{t}/{i}"]) for i in parameters]
            optimizer.apply_gradients(zip(gradients, variables, strict=True))
            results.update({f"lamb/wd{decay}/after/{t}/{i}": v.numpy() for i, v in enumerate(variables)})
    for blur in blurs:
        for i in range(sum(key.startswith(f"{blur}/") and key.endswith("/sigma") for key in arrays)):
            size, sigma = int(arrays[f"{blur}/{i}/filter_shape"]), float(arrays[f"{blur}/{i}/sigma"])
            blurred = tfa.image.gaussian_filter2d(arrays[f"{blur}/image"], (size, size), sigma, padding="REFLECT")
            results[f"{blur}/{i}/reflect"] = blurred.numpy()
    return results


def main() -> None:
    inputs, outputs = (Path(argument) for argument in sys.argv[1:])
    jobs = json.loads((inputs / "jobs.json").read_text(encoding="utf-8"))
    results = run_addons(load_arrays(inputs / "addons.npz"), jobs["decays"], jobs["blurs"])
    save_arrays(outputs / "addons.npz", results)
    run_signatures(jobs["saved_model"], jobs["signatures"], inputs, outputs)
    packages = ("tensorflow", "tensorflow-addons", "keras", "numpy")
    print(json.dumps({"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}))


if __name__ == "__main__":
    main()
