"""An exported file against its source: loaded by a fresh process that knows nothing of barlowtf."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.errors import ExportError
from barlowtf.export import replay
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.network import Parts, trainable_network
from barlowtf.export.plain import plain_encoder
from barlowtf.models import extract_features

_BATCH = 64


def source_outputs(parts: Parts, views: np.ndarray) -> dict[str, np.ndarray]:
    """Returns features, with a head also logits and probabilities, and where there is a projector embeddings.

    Args:
        parts: What is exported, in its layers as they were trained, float32.
        views: uint8 [M, S, S, C].
    """
    network = trainable_network(parts)
    rows = [slice(start, start + _BATCH) for start in range(0, len(views), _BATCH)]
    outputs = [network.predict_on_batch(views[row].astype(np.float32) / 255.0) for row in rows]
    named = [output if isinstance(output, dict) else {"features": output} for output in outputs]
    result = {name: np.concatenate([output[name] for output in named]) for name in named[0]}
    if parts.projector is not None:
        result["embeddings"] = extract_features(plain_encoder(parts.projector), [result["features"]])
    return result


def compare_file(
    kind: str,
    path: Path,
    *,
    views: np.ndarray,
    encoded: list[bytes],
    expected: dict[str, np.ndarray],
    labels: np.ndarray | None,
    class_names: tuple[str, ...] | None,
) -> dict[str, Any]:
    """Returns the figures of one exported file, see `compare_outputs`, and milliseconds an image, one at a time.

    Args:
        kind: "saved-model", "tflite", "keras" or "onnx".
        path: The file or folder.
        views: uint8 [M, S, S, C].
        encoded: The images of the views, as PNG.
        expected: See `source_outputs`.
        labels: int64 [M], or None.
        class_names: Of the label that a SavedModel gives.

    Raises:
        ExportError: The file cannot be loaded or run, or its signatures contradict one another.
    """
    inputs = {"views": views}
    if kind == "saved-model":
        inputs["encoded"] = np.frombuffer(b"".join(encoded), np.uint8)
        inputs["lengths"] = np.array([len(content) for content in encoded])
    found = replay_file(kind, path, inputs)
    milliseconds = round(float(found.pop("milliseconds")), 3)
    embeddings = {"embeddings": expected["embeddings"]} if "embeddings" in expected else {}
    outputs = {name: value for name, value in expected.items() if name != "embeddings"}
    if kind != "saved-model":
        return compare_outputs(outputs, found, labels) | {"milliseconds": milliseconds}
    signatures: dict[str, Any] = {}
    for name in ("float_images", "from_jpeg", "serving_default"):
        of_it = {key.partition("/")[2]: value for key, value in found.items() if key.startswith(f"{name}/")}
        signatures[name] = compare_outputs(outputs, of_it, labels)
        if class_names is not None and not np.array_equal(
            of_it["label"], np.array(class_names)[of_it["logits"].argmax(1)]
        ):
            raise ExportError(f"{path}: the label of {name} is not that of its largest logit. Nothing was written.")
    if not found["from_jpeg/valid"].all():
        raise ExportError(f"{path}: from_jpeg does not know real images. Nothing was written.")
    worst = max(signatures.values(), key=lambda figures: figures["largest_difference"]["features"])
    if embeddings:
        difference = np.abs(found["embed/embeddings"] - embeddings["embeddings"]).max()
        worst["largest_difference"]["embeddings"] = float(difference)
        worst["largest_value"]["embeddings"] = float(np.abs(embeddings["embeddings"]).max())
    return {**worst, "signatures": signatures, "milliseconds": milliseconds}


def replay_file(kind: str, path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what a file gives in a fresh process, see replay.py.

    Raises:
        ExportError: The process failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "inputs.npz", Path(folder) / "outputs.npz"
        np.savez(source, **inputs)
        # Neither the working folder nor that of replay.py can be imported from.
        words = [sys.executable, "-P", str(Path(replay.__file__)), kind, str(path), str(source), str(target)]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        if result.returncode:
            reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
            raise ExportError(f"{path} cannot be loaded by a fresh process: {reason}. Nothing was written.")
        with np.load(target) as outputs:
            return dict(outputs)
