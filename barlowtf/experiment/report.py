"""`barlowtf report`: run folders -> their files, their encoders on some images -> one page."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import barlowtf.models  # noqa: F401  registers the layers that a saved encoder needs
from barlowtf import augment
from barlowtf.atomic import write_file
from barlowtf.data import (
    SkippedImages,
    Source,
    open_source,
    readable_views,
    rendering_of,
    require_trusted_data,
    sample_ids,
)
from barlowtf.encoders.loading import load_keras
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.experiment.ablation_results import PLAN_FILE, collect, folder_of, grid_page
from barlowtf.experiment.output_files import require_page
from barlowtf.models.features import extract_features
from barlowtf.records import AblationPlan, ReportedRun, ReportSummary, read_record
from barlowtf.report import EmbeddedImages, RunContents, read_run, render_page, shrink, write_projector

_LOG = logging.getLogger("barlowtf")
_BATCH = 100
_SEED = 0


@dataclass(frozen=True)
class ReportRequest:
    """What `barlowtf report` writes.

    Attributes:
        runs: The run folders, finished or not, at least one.
        out: Path of the page, .html; a page that is there is replaced.
        images: Maximum number of images in the map of each run, >= 2.
        data: SPEC of these images; None: the data of each run.
    """

    runs: Sequence[Path]
    out: Path
    images: int = 1000
    data: str | None = None


def report(request: ReportRequest) -> ReportSummary:
    """Writes one HTML page about one or several run folders; it opens without a network.

    The images of the map also go beside the run's event files, for TensorBoard's embedding projector.

    Raises:
        CheckpointError: A path is not a run folder, or one of its files is damaged.
        ConfigError: The page cannot be written there, or a recipe cannot be read.
    """
    require_page(request.out, "report.html")
    if len(request.runs) == 1 and (request.runs[0] / PLAN_FILE).is_file():
        return _report_grid(request.runs[0], request.out)
    names = _names(request.runs)
    contents = [read_run(path, name=name) for path, name in zip(request.runs, names, strict=True)]
    for run in contents:
        _embed(run, request.images, request.data)
    page = render_page(contents, created=datetime.now(UTC), version=metadata.version("barlowtf"))
    size = _write(request.out, page)
    return ReportSummary(report=str(request.out), bytes=size, runs=tuple(map(_summary, contents)))


def _report_grid(folder: Path, out: Path) -> ReportSummary:
    """Writes the page about a grid of runs."""
    record = collect(folder, read_record(folder / PLAN_FILE, AblationPlan))
    reported = tuple(
        ReportedRun(
            run=str(folder_of(folder, cell, run.seed)),
            name=f"{cell.name}, seed {run.seed}",
            status=run.status,
            results=len(run.scores),
            images=0,
            notes=() if run.reason is None else (run.reason,),
        )
        for cell, row in zip(record.plan.cells, record.rows, strict=True)
        for run in row.runs
    )
    return ReportSummary(report=str(out), bytes=_write(out, grid_page(folder, record)), runs=reported)


def _write(out: Path, page: str) -> int:
    """Writes a page; returns its size, bytes."""
    # Names of files and classes may hold bytes that are not text.
    content = page.encode("utf-8", "replace")
    try:
        write_file(out, content)
    except OSError as error:
        raise ConfigError(f"Cannot write {out}: {error.strerror}. Choose another --out.") from error
    return len(content)


def _names(runs: Sequence[Path]) -> list[str]:
    """Returns the folders' names, or the whole paths where two folders have one name."""
    short = [path.resolve().name for path in runs]
    return short if len(set(short)) == len(short) else [str(path) for path in runs]


def _summary(run: RunContents) -> ReportedRun:
    return ReportedRun(
        run=str(run.folder.path),
        name=run.name,
        status=run.status,
        results=len(run.results),
        images=0 if run.images is None else len(run.images.ids),
        notes=tuple(run.notes),
    )


def _embed(run: RunContents, count: int, spec: str | None) -> None:
    """Gives a run some images and their features, or a note why it has none."""
    if not run.folder.encoder.exists():
        run.notes.append("The run has no encoder.keras, which training leaves at its end: no map, no neighbors.")
        return
    try:
        if spec is None:
            require_trusted_data(run.recipe.data.source, named_in=run.folder.recipe, trust=False)
        split, source = _open_images(spec or run.recipe.data.source)
    except DataError as error:
        run.notes.append(f"No map, no neighbors: {' '.join(str(error).split())}")
        return
    try:
        encoder = load_keras(run.folder.encoder)
    except CheckpointError as error:
        run.notes.append(f"encoder.keras is of no use: {error} No map, no neighbors.")
        return
    _LOG.info("%s: embedding images of %s", run.name, source.name)
    try:
        run.images = _embedded(run, encoder, source, split, count)
    except DataError as error:
        run.notes.append(f"No map, no neighbors: {' '.join(str(error).split())}")
        return
    try:
        write_projector(run.folder.tensorboard, run.images)
    except OSError as error:
        _LOG.warning("%s: nothing for TensorBoard's projector: %s", run.name, error.strerror)


def _open_images(spec: str) -> tuple[str, Source]:
    """Returns the test split, the training split where there is none."""
    test = open_source(spec, "test")
    return ("train", open_source(spec, "train")) if test is None else ("test", test)


def _embedded(run: RunContents, encoder: keras.Model, source: Source, split: str, count: int) -> EmbeddedImages:
    recipe = run.recipe
    size, channels = recipe.augment.evaluated_size, recipe.data.channels
    mean, std = recipe.augment.mean, recipe.augment.std
    ids = sample_ids(source.size, count, seed=_SEED)
    if source.has_labels:
        ids = ids[source.labels_of(ids) >= 0]
    views = readable_views(
        source,
        ids,
        size=size,
        channels=channels,
        batch_size=_BATCH,
        skipped=SkippedImages(count),
        rendering=rendering_of(recipe.data),
    )
    kept: list[np.ndarray] = []
    thumbnails: list[np.ndarray] = []

    def normalized() -> Iterator[tf.Tensor]:
        for numbers, images in views:
            kept.append(numbers)
            thumbnails.append(shrink(_eight_bits(images)))
            yield augment.normalize(augment.unit_range(images), mean, std)

    features = extract_features(encoder, normalized())
    if not len(features):
        raise DataError(f"none of {count} images of {source.name} can be read.")
    ids = np.concatenate(kept)
    return EmbeddedImages(
        source=source.name,
        split=split,
        ids=ids,
        thumbnails=np.concatenate(thumbnails),
        features=features,
        labels=source.labels_of(ids) if source.has_labels else None,
        class_names=source.class_names,
    )


def _eight_bits(images: tf.Tensor) -> np.ndarray:
    """Returns uint8 pixels of uint8 or uint16 ones."""
    return images.numpy() if images.dtype == tf.uint8 else (images.numpy() >> 8).astype(np.uint8)
