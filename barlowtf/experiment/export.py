"""`barlowtf export`, top to bottom: encoder, head, projector -> files aside -> a fresh process compares -> renamed.

::

    OUT/1/                       the first export; a later one goes to 2/ and so on, so that none is overwritten
    RUN/exports/NAME-1.json      what was compared, on which images, with which figures; OUT/ where there is no run
"""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import tensorflow as tf

from barlowtf.config.section import Section
from barlowtf.data import require_trusted_data
from barlowtf.distribute import describe_surroundings
from barlowtf.encoders.extracting import require_finite
from barlowtf.errors import ExportError
from barlowtf.export.about import describe_origin
from barlowtf.export.comparison import EXACT, find_shortfall
from barlowtf.export.format import Format, Material
from barlowtf.export.origins import Origin, open_origin
from barlowtf.export.samples import Sample, calibration_views, open_sample
from barlowtf.export.verification import compare_file, source_outputs
from barlowtf.export.versions import new_version, next_version
from barlowtf.records import ComparedImages, ExportRecord, FileFigures, write_record
from barlowtf.tables import FORMATS

_LOG = logging.getLogger("barlowtf")
# Images that a server's warm-up is made of.
_WARM_UP_IMAGES = 8


@dataclass(frozen=True)
class ExportRequest:
    """What `barlowtf export` writes.

    Attributes:
        encoder: See `open_origin`.
        file_format: Name in `barlowtf.export.FORMATS`, or a user's own `Format`: "file.py:name".
        out: Folder of the versions; None: `exports/FORMAT` in the run.
        head: See `open_head`; None: features alone.
        checkpoint: "latest", "best" or a step; None: the finished run's encoder.
        config: Recipe of an encoder that has none beside it.
        source: SPEC of the images to compare and calibrate on; None: those of the run.
        images: Number of images to compare on, >= 1.
        variants: Variants of the format; None: all.
        settings: Settings of the format, see `Format.settings`; those that are missing take their defaults.
        representative: Number of training images on which variants are calibrated, >= 1.
        accept_loss: Whether a quantized file is kept though it agrees less than expected.
        trust: See `barlowtf.encoders.load`.
    """

    encoder: str
    file_format: str = next(iter(FORMATS))
    out: Path | None = None
    head: str | None = None
    checkpoint: str | None = None
    config: str | None = None
    source: str | None = None
    images: int = 256
    variants: Sequence[str] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    representative: int = 100
    accept_loss: bool = False
    trust: bool = False


def export(request: ExportRequest) -> ExportRecord:
    """Writes an encoder in a form that other programs load, and compares it with its source in a fresh process.

    Returns:
        The record. Quantized files that agree less than expected are not written; `left_out` in it names them.

    Raises:
        ExportError: Input or surroundings do not allow it, or what was written differs from its source.
        BarlowTFError: Encoder, data or recipe cannot be read.
    """
    started = time.monotonic()
    form: Format = FORMATS.open(request.file_format)
    form_name = request.file_format.rpartition(":")[2]
    variants = form.chosen_variants(form_name, request.variants)
    settings = form.chosen_settings(form_name, request.settings)
    out = request.out or _default_folder(request, form_name)
    version = next_version(out, form_name, form)
    origin = open_origin(
        request.encoder,
        head=request.head,
        checkpoint_of=request.checkpoint,
        config=request.config,
        trust=request.trust,
    )
    spec = request.source or origin.data
    if request.source is None and origin.data is not None:
        require_trusted_data(origin.data, named_in=request.encoder, trust=request.trust)
    calibrated = [variant for variant in variants if variant in form.calibrated]
    if spec is None and calibrated:
        raise ExportError(
            f"The variant {calibrated[0]} is calibrated on training images, and there are none: received neither "
            "--data nor a run. Add --data SPEC, or choose other variants with --variant."
        )
    sample = open_sample(spec, origin.encoder, request.images)
    if origin.parts.class_names is not None:
        sample = sample.for_head(origin.parts.class_names)
    material = Material(
        origin.parts,
        name=out.resolve().name if request.out else Path(request.encoder).resolve().name,
        encoded=sample.encoded[:_WARM_UP_IMAGES],
        variants=variants,
        calibration_views=lambda: calibration_views(cast(str, spec), origin.encoder, request.representative),
        settings=settings,
    )
    form.check(material)
    # After the check: nobody is told to install what could not help.
    form.require_installed(form_name)
    expected = _source_outputs(origin, sample)
    material = replace(material, about=describe_origin(origin, expected.get("probabilities")))
    with new_version(out, version) as aside:
        _LOG.info("Writing %s%s.", form_name, f" ({', '.join(variants)})" if variants else "")
        files = form.write(material, aside)
        _LOG.info("Comparing it with its source on %d images, in a fresh process.", len(sample.views))
        figures = _compare(form, settings, aside, files, sample, origin, expected)
        left_out = {} if request.accept_loss else _leave_out(aside, files, figures)
        _require_success(form_name, files, figures, left_out)
        form.describe(material, aside, figures)
    file = _record_file(origin, out, form_name, version)
    record = ExportRecord(
        format=request.file_format,
        settings=settings.model_dump(mode="json"),
        folder=str(out / str(version)),
        record=str(file),
        encoder=origin.encoder.facts,
        step=origin.step,
        head=None if origin.head is None else origin.head.facts,
        class_names=origin.parts.class_names,
        embedding_width=None if origin.projector is None else int(origin.projector.output_shape[-1]),
        files=figures,
        left_out=left_out,
        images=ComparedImages(source=sample.name, count=len(sample.views)),
        seconds=round(time.monotonic() - started, 1),
        **dict(describe_surroundings(tf.distribute.get_strategy())),
    )
    try:
        form.write_beside(out, material.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_record(file, record)
    except OSError as error:
        raise ExportError(
            f"{record.folder} is complete, but what belongs to it cannot be written: {error.filename}: "
            f"{error.strerror}. Free space or change permissions there, and export again."
        ) from error
    return record


def explain_left_out(left_out: Mapping[str, str], written: Iterable[str] = ()) -> str:
    """Returns one line about files that were not written, and which were."""
    reasons = "; ".join(f"{name} {reason}" for name, reason in left_out.items())
    advice = "Not written: calibrate on more images with --representative, or keep it with --accept-loss."
    return f"{reasons}. {advice}" + (f" Written: {', '.join(written)}." if written else "")


def _default_folder(request: ExportRequest, form_name: str) -> Path:
    if not (Path(request.encoder) / "recipe.toml").exists():
        raise ExportError(
            f"The encoder {request.encoder} is not a run, whose folder could hold the export. Add --out DIR."
        )
    return Path(request.encoder) / "exports" / form_name


def _record_file(origin: Origin, out: Path, form_name: str, version: int) -> Path:
    """Returns where the record goes: `exports` of the run, or the folder of the versions where there is none."""
    folder = out if origin.encoder.run is None else origin.encoder.run / "exports"
    name = form_name if out.name == form_name else f"{out.resolve().name}-{form_name}"
    return folder / f"{name}-{version}.json"


def _source_outputs(origin: Origin, sample: Sample) -> dict[str, np.ndarray]:
    """Returns what the files are compared with, or raises DataError where it is not finite."""
    expected = source_outputs(origin.parts, sample.views)
    for name, values in expected.items():
        require_finite(origin.encoder.name, values, np.arange(len(values)), what=name.capitalize())
    return expected


def _compare(
    form: Format,
    settings: Section,
    folder: Path,
    files: Mapping[str, str],
    sample: Sample,
    origin: Origin,
    expected: dict[str, np.ndarray],
) -> dict[str, FileFigures]:
    """Returns the figures of each file: size, differences from the source, and how they are judged."""
    parts = origin.parts
    # How far float32 itself is from what was trained and measured, where that was bfloat16.
    features = origin.encoder.features_of([sample.views])
    require_finite(origin.encoder.name, features, np.arange(len(features)))
    trained = np.abs(features - expected["features"]).max()
    figures = {}
    for name, precision in files.items():
        path = folder / name
        found = compare_file(form, path, parts=parts, sample=sample, expected=expected, settings=settings)
        size = sum(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file())
        shortfall = find_shortfall(found, precision, form.least_agreement)
        figures[name] = FileFigures.model_validate(
            {**found, "bytes": size, "trained_precision_difference": float(trained), "falls_short": shortfall}
        )
        if name != ".":
            _LOG.info("%s is compared.", name)
    return figures


def _leave_out(folder: Path, files: Mapping[str, str], figures: Mapping[str, FileFigures]) -> dict[str, str]:
    """Deletes quantized files that fall short; returns why, by their names."""
    left_out = {}
    for name, precision in files.items():
        shortfall = figures[name].falls_short
        if shortfall is not None and precision != EXACT:
            (folder / name).unlink()
            left_out[name] = shortfall
    return left_out


def _require_success(
    form_name: str, files: Mapping[str, str], figures: Mapping[str, FileFigures], left_out: Mapping[str, str]
) -> None:
    for name, precision in files.items():
        if precision == EXACT and figures[name].falls_short is not None:
            subject = f"The {form_name}" if name == "." else name
            raise ExportError(f"{subject} {figures[name].falls_short}. Nothing was written. Report this.")
    if left_out and len(left_out) == len(files):
        raise ExportError(f"Nothing was written: {explain_left_out(left_out)}")
