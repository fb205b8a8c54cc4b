"""`barlowtf report`: run folders -> their files, their encoders on some images -> one page."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import barlowtf.models  # noqa: F401  registers the layers that a saved encoder needs
from barlowtf import augment
from barlowtf.atomic import write_file
from barlowtf.data import Source, center_views, open_source, readable_ids, spread_ids
from barlowtf.encoders.loading import load_keras
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.models.features import extract_features
from barlowtf.report import EmbeddedImages, RunContents, read_run, render_page, shrink

_LOG = logging.getLogger("barlowtf")
_BATCH = 100
_SEED = 0


def write_report(runs: list[Path], out: Path, *, images: int = 1000, data: str | None = None) -> dict[str, Any]:
    """Writes one HTML page about one or several run folders; it opens without a network.

    Args:
        runs: The run folders, finished or not, at least one.
        out: The page; a file that is there is replaced, whole or not at all.
        images: At most so many images are embedded, for the map and the neighbors of each run, >= 2.
        data: Where these images come from. Default: the data of each run.

    Returns:
        {"report": path, "bytes": size, "runs": [{"run", "name", "status", "results", "images", "notes"}, ...]}.

    Raises:
        CheckpointError: A path is no run folder, or one of its files is damaged.
        ConfigError: The page cannot be written there, or a recipe cannot be read.
    """
    _require_place(out)
    names = _names(runs)
    contents = [read_run(path, name=name) for path, name in zip(runs, names, strict=True)]
    for run in contents:
        _embed(run, images, data)
    page = render_page(contents, created=datetime.now(UTC), version=metadata.version("barlowtf"))
    # Names of files and classes may hold bytes that are no text.
    page = page.encode("utf-8", "replace")
    try:
        write_file(out, page)
    except OSError as error:
        raise ConfigError(f"Cannot write {out}: {error.strerror}. Choose another --out.") from error
    return {"report": str(out), "bytes": len(page), "runs": [_summary(run) for run in contents]}


def _require_place(out: Path) -> None:
    if not out.parent.is_dir():
        raise ConfigError(f"Cannot write {out}: there is no folder {out.parent}. Make it, or choose another --out.")
    if out.is_dir():
        raise ConfigError(f"Cannot write {out}: it is a folder. Expected a file, e.g. --out {out / 'report.html'}.")


def _names(runs: list[Path]) -> list[str]:
    """Returns the folders' names, or the whole paths where two folders have one name."""
    short = [path.resolve().name for path in runs]
    return short if len(set(short)) == len(short) else [str(path) for path in runs]


def _summary(run: RunContents) -> dict[str, Any]:
    return {
        "run": str(run.folder.path),
        "name": run.name,
        "status": run.info.get("status"),
        "results": len(run.results),
        "images": 0 if run.images is None else len(run.images.ids),
        "notes": run.notes,
    }


def _embed(run: RunContents, count: int, spec: str | None) -> None:
    """Gives a run some images and their features, or a note why it has none."""
    if not run.folder.encoder.exists():
        run.notes.append("The run has no encoder.keras, which training leaves at its end: no map, no neighbors.")
        return
    try:
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


def _open_images(spec: str) -> tuple[str, Source]:
    """Returns the test split, the training split where there is none."""
    test = open_source(spec, "test")
    return ("train", open_source(spec, "train")) if test is None else ("test", test)


def _embedded(run: RunContents, encoder: keras.Model, source: Source, split: str, count: int) -> EmbeddedImages:
    recipe = run.recipe
    size, channels = recipe.augment.evaluated_size, recipe.data.channels
    mean, std = recipe.augment.mean, recipe.augment.std
    ids = readable_ids(source, spread_ids(source.size, count, _SEED), channels=channels)
    if not len(ids):
        raise DataError(f"none of {count} images of {source.name} can be read.")
    views = center_views(source, ids, size=size, channels=channels, batch_size=_BATCH)
    thumbnails: list[np.ndarray] = []

    def normalized() -> Iterator[tf.Tensor]:
        for images in views:
            thumbnails.append(shrink(images.numpy()))
            yield augment.normalize(tf.cast(images, tf.float32) / 255.0, mean, std)

    features = extract_features(encoder, normalized())
    return EmbeddedImages(
        source=source.name,
        split=split,
        ids=ids,
        thumbnails=np.concatenate(thumbnails),
        features=features,
        labels=source.labels_of(ids) if source.has_labels else None,
        class_names=source.class_names,
    )
