"""`barlowtf export`, top to bottom: encoder, head, projector -> files aside -> a fresh process compares -> renamed.

::

    OUT/1/                       the first export; a later one goes to 2/ and so on, so that none is overwritten
    RUN/exports/NAME-1.json      what was compared, on which images, with which figures; OUT/ where there is no run
"""

import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf.atomic import write_file
from barlowtf.convert import load_torch_weights
from barlowtf.distribute import describe_surroundings
from barlowtf.errors import ExportError
from barlowtf.experiment.exporting.formats import FORMATS, Material
from barlowtf.experiment.exporting.origins import Origin, open_origin
from barlowtf.experiment.exporting.samples import Sample, open_sample, representative_views
from barlowtf.export.comparison import compare_outputs, find_shortfall
from barlowtf.export.serving import require_servable_name, write_config_files
from barlowtf.export.verification import compare_file, replay_file, source_outputs
from barlowtf.export.versions import filling, next_version
from barlowtf.models import extract_features

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class ExportRequest:
    """What `barlowtf export` was asked for.

    Attributes:
        encoder: See `open_origin`.
        file_format: Key of `FORMATS`.
        out: Folder of the versions; None: `exports/FORMAT` in the run.
        head: See `open_head`; None: features alone.
        checkpoint: "latest" or a step; None: the finished run's encoder.
        config: Recipe of an encoder that has none beside it.
        source: SPEC of the images to compare on and to take ranges from; None: those of the run.
        images: How many to compare on.
        variants: Of tflite; None: all.
        representative: From how many images a full-integer file takes its ranges.
        accept_loss: Whether a quantized file is kept though it agrees less than asked.
    """

    encoder: str
    file_format: str = "saved-model"
    out: Path | None = None
    head: str | None = None
    checkpoint: str | None = None
    config: str | None = None
    source: str | None = None
    images: int = 256
    variants: Sequence[str] | None = None
    representative: int = 100
    accept_loss: bool = False


def export(request: ExportRequest) -> dict[str, Any]:
    """Writes an encoder in a form that other programs load, and compares it with its source in a fresh process.

    Returns:
        The record, see docs/formats.md. Quantized files that agree less than asked are not written; "left_out" in it
        names them.

    Raises:
        ExportError: Input or surroundings do not allow it, or what was written differs from its source.
        BarlowTFError: Encoder, data or recipe cannot be read.
    """
    started = time.monotonic()
    form = FORMATS[request.file_format]
    form.require_installed(request.file_format)
    if request.variants and request.file_format != "tflite":
        raise ExportError(f"--variant is of the format tflite. Received {request.file_format}. Leave it out.")
    out = request.out or _default_folder(request)
    version = next_version(out, request.file_format)
    name = out.resolve().name if request.out else Path(request.encoder).resolve().name
    if request.file_format == "saved-model":
        require_servable_name(name)
    origin = open_origin(request.encoder, head=request.head, checkpoint_of=request.checkpoint, config=request.config)
    spec = request.source or origin.data
    if spec is None and request.file_format == "tflite" and "int8" in (request.variants or ("int8",)):
        raise ExportError(
            "A full-integer file takes its ranges from real images. Received neither --data nor a run that has some. "
            "Add --data SPEC, or ask for other variants: --variant float16."
        )
    sample = open_sample(spec, origin.encoder, request.images)
    material = Material(
        origin.parts,
        name=name,
        encoded=sample.encoded[:8],
        variants=request.variants,
        representative=lambda: representative_views(spec, origin.encoder, request.representative),
    )
    with filling(out, version) as aside:
        files = form.write(material, aside)
        figures = _compare(request.file_format, aside, files, sample, origin)
        left_out = {} if request.accept_loss else _leave_out(aside, files, figures)
        _require_success(files, figures, left_out)
    content = {
        "format": request.file_format,
        "folder": str(out / str(version)),
        **origin.describe(),
        "files": figures,
        "left_out": left_out,
        "images": {"source": sample.name, "count": len(sample.views)},
        "seconds": round(time.monotonic() - started, 1),
        **describe_surroundings(tf.distribute.get_strategy()).model_dump(mode="json"),
    }
    file = _record_file(origin, out, request.file_format, version)
    try:
        if request.file_format == "saved-model":
            write_config_files(out, name=name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise ExportError(
            f"{out / str(version)} is whole, but what belongs to it cannot be written: {error.filename}: "
            f"{error.strerror}. Make room or give the right to write there, and export again."
        ) from error
    return {**content, "record": str(file)}


def _default_folder(request: ExportRequest) -> Path:
    if not (Path(request.encoder) / "recipe.toml").exists():
        raise ExportError(
            f"The encoder {request.encoder} is no run, whose folder could hold the export. Add --out DIR."
        )
    return Path(request.encoder) / "exports" / request.file_format


def _record_file(origin: Origin, out: Path, file_format: str, version: int) -> Path:
    """Returns where the record goes: `exports` of the run, or the folder of the versions where there is none."""
    folder = out if origin.encoder.run is None else origin.encoder.run / "exports"
    name = file_format if out.name == file_format else f"{out.resolve().name}-{file_format}"
    return folder / f"{name}-{version}.json"


def _compare(
    file_format: str, folder: Path, files: dict[str, str], sample: Sample, origin: Origin
) -> dict[str, dict[str, Any]]:
    """Returns the figures of each file: size, differences from the source, and how they are judged."""
    parts = origin.parts
    expected = source_outputs(parts, sample.views)
    # How far float32 itself is from what was trained and measured, where that was bfloat16.
    trained = np.abs(origin.encoder.features([sample.views]) - expected["features"]).max()
    figures = {}
    for name, precision in files.items():
        path = folder / name
        if file_format == "torch":
            found = _compare_tensors(path, origin, sample)
        else:
            found = compare_file(
                file_format,
                path,
                views=sample.views,
                encoded=sample.encoded,
                expected=expected,
                labels=sample.labels,
                class_names=parts.class_names,
            )
        shortfall = find_shortfall(found, precision)
        figures[name] = {
            "bytes": sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()),
            **found,
            "trained_precision_difference": float(trained),
            "falls_short": shortfall,
        }
        _LOG.info("%s compared on %d images.", name if name != "." else "saved_model", len(sample.views))
    return figures


def _compare_tensors(path: Path, origin: Origin, sample: Sample) -> dict[str, Any]:
    """Returns the figures of a PyTorch file: a fresh process reads it, and its tensors make an encoder again."""
    encoder = origin.encoder.model
    copy = keras.models.clone_model(encoder)
    load_torch_weights(copy, replay_file("torch", path, {"views": sample.views}))
    images = [origin.encoder.normalize(tf.constant(sample.views))]
    expected, found = ({"features": extract_features(model, images)} for model in (encoder, copy))
    return compare_outputs(expected, found)


def _leave_out(folder: Path, files: dict[str, str], figures: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Deletes quantized files that fall short; returns why, by their names."""
    left_out = {}
    for name, precision in files.items():
        shortfall = figures[name]["falls_short"]
        if shortfall is not None and precision != "float32":
            (folder / name).unlink()
            left_out[name] = shortfall
    return left_out


def _require_success(files: dict[str, str], figures: dict[str, dict[str, Any]], left_out: dict[str, str]) -> None:
    for name, precision in files.items():
        if precision == "float32" and figures[name]["falls_short"] is not None:
            subject = "The SavedModel" if name == "." else name
            raise ExportError(f"{subject} {figures[name]['falls_short']}. Nothing was written. Report this.")
    if left_out and len(left_out) == len(files):
        raise ExportError(f"Nothing was written: {explain_left_out(left_out)}")


def explain_left_out(left_out: dict[str, str]) -> str:
    """Returns one line about files that were not written."""
    reasons = "; ".join(f"{name} {reason}" for name, reason in left_out.items())
    return f"{reasons}. Not written: give more --representative images, or take it as it is with --accept-loss."
