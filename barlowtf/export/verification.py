"""An exported file against its source: loaded by a fresh process that knows nothing of barlowtf."""

import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np

from barlowtf.atomic import scratch_folder
from barlowtf.config.section import Section
from barlowtf.errors import ExportError
from barlowtf.export import replay
from barlowtf.export.format import Format, Replayed
from barlowtf.export.network import Parts, trainable_network
from barlowtf.export.plain import plain_encoder
from barlowtf.export.samples import Sample
from barlowtf.leaving import undone_by
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
    form: Format, path: Path, *, parts: Parts, sample: Sample, expected: dict[str, np.ndarray], settings: Section
) -> dict[str, Any]:
    """Returns the figures of one exported file, see `compare_outputs`, and milliseconds per image, one at a time.

    Args:
        form: The format of the file.
        path: The file or folder.
        parts: What was exported.
        sample: The images.
        expected: See `source_outputs`.
        settings: What it was written with, see `Format.chosen_settings`.

    Raises:
        ExportError: The file cannot be loaded or run, contradicts itself, or gives values that are not finite.
    """
    inputs = {"views": sample.views}
    inputs["encoded"] = np.frombuffer(b"".join(sample.encoded), np.uint8)
    inputs["lengths"] = np.array([len(content) for content in sample.encoded])
    found = replay_file(form.read, path, inputs)
    time = found.pop("milliseconds", None)
    for name, values in found.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ExportError(
                f"{path.name} gives {name} that are not finite, unlike its source. Nothing was written. Choose another "
                "variant or format."
            )
    figures = form.compare(Replayed(path, parts, sample.views, sample.labels, expected, found, settings))
    return figures if time is None else {**figures, "milliseconds": round(float(time), 3)}


def replay_file(
    read: Callable[[str, dict[str, np.ndarray]], dict[str, np.ndarray]], path: Path, inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns what `read` gives for a file in a fresh process, see replay.py.

    Raises:
        ExportError: The source of `read` cannot be found, or the process failed.
    """
    with scratch_folder() as folder:
        reader, source, target = (folder / name for name in ("reader.py", "inputs.npz", "outputs.npz"))
        reader.write_text(_source(read), encoding="utf-8")
        np.savez(source, **cast(dict[str, Any], inputs))
        # Neither the working folder nor that of replay.py can be imported from.
        words = [sys.executable, "-P", str(Path(replay.__file__)), *map(str, (reader, path, source, target))]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with undone_by(lambda _: process.kill()), process:
            try:
                _, errors = process.communicate()
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            reason = (errors.strip().splitlines() or ["no message"])[-1]
            raise ExportError(f"{path.name} cannot be loaded by a fresh process: {reason}. Nothing was written.")
        with np.load(target) as outputs:
            return dict(outputs)


def _source(read: Callable[..., Any]) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(read))
    except (OSError, TypeError) as error:
        raise ExportError(
            f"The reader {read!r} has no source that a fresh process could run: {error}. Write it as a function in a "
            "file."
        ) from error
    if not source.startswith("def "):
        raise ExportError(
            f"The reader {read!r} cannot run in a fresh process: expected a plain function, def read(path, inputs), "
            "without decorators."
        )
    return source
