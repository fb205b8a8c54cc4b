"""TensorFlow.js: a SavedModel's signature float_images, converted by tensorflowjs_converter, predicted by node."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np


def main(path: str, source: str, target: str, node_folder: str) -> None:
    """Converts, runs and writes the outputs by their names."""
    with np.load(source) as arrays, tempfile.TemporaryDirectory() as temporary:
        views, folder = arrays["views"].astype(np.float32) / np.float32(255), Path(temporary)
        converter = Path(sys.executable).parent / "tensorflowjs_converter"
        words = ["--input_format=tf_saved_model", "--signature_name=float_images", "--saved_model_tags=serve"]
        subprocess.run([converter, *words, path, folder / "model"], check=True, capture_output=True)
        views.tofile(folder / "views.bin")
        script = Path(__file__).with_suffix(".mjs")
        numbers = [str(views.shape[1]), str(len(views))]
        subprocess.run(
            ["node", script, folder / "model", folder / "views.bin", *numbers, folder / "out.json"],
            check=True,
            env={**os.environ, "NODE_FOLDER": node_folder},
        )
        found = json.loads((folder / "out.json").read_text())
    # The converter numbers outputs, in the order of their names, and keeps the name of one.
    names = {"Identity:0": "features", "Identity_1:0": "logits", "Identity_2:0": "probabilities"}
    outputs = {names.get(name, name): np.array(rows, np.float32) for name, rows in found["outputs"].items()}
    np.savez(target, version=found["version"], **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
