"""`barlowtf embed`: the features of a data set, in its order, as files.

::

    OUT/_embed.json            encoder, data, format, number of images
        _skipped.jsonl         images that cannot be read, where there are any, see `SkippedImage`
        part-00000.parquet     id, path, label, feature of the images 0 to 1,999; and so on
        features.npy           or these three, with format "npy"
        labels.npy  ids.npy
"""

import logging
import shutil
import signal
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from barlowtf import data, runs
from barlowtf.atomic import reserve, whole_file, whole_files
from barlowtf.data.skipped import storable_text
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.extracting import PART_IMAGES, log_progress, readable_views, require_finite
from barlowtf.encoders.feature_folder import MANIFEST, open_features
from barlowtf.encoders.loading import load
from barlowtf.errors import CheckpointError, Interrupted
from barlowtf.experiment.data import open_images
from barlowtf.experiment.skipping import skips_of
from barlowtf.places import settled_spec
from barlowtf.records import EmbeddedData, EmbedManifest, read_record, write_record
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_PARTS = ".parts"


@dataclass(frozen=True)
class EmbedRequest:
    """What `barlowtf embed` writes.

    Attributes:
        encoder: See `barlowtf.encoders.load`.
        source: SPEC of the data, or one image file.
        out: Folder, new or that of the call to resume.
        split: "train" or "test".
        file_format: "parquet": id int64, path string, label int64 or null, feature float32 [d]; or "npy": features
            float32 [M, d], labels int64 [M] (where there are labels), ids int64 [M].
        config: Recipe of the encoder, see `barlowtf.encoders.load`.
        part_rows: Number of images between two saves, >= 1.
        trust: See `barlowtf.encoders.load`.
        max_unreadable: Maximum number of images to leave out because they cannot be read, >= 0; None: see `skips_of`.
    """

    encoder: str
    source: str
    out: Path
    split: str = "train"
    file_format: Literal["parquet", "npy"] = "parquet"
    config: str | None = None
    part_rows: int = PART_IMAGES
    trust: bool = False
    max_unreadable: int | None = None


def embed(request: EmbedRequest) -> EmbedManifest:
    """Writes the features of all images of a split; resumes where an earlier call was stopped.

    Returns:
        The content of _embed.json. Images that cannot be read are left out: their ids are missing.

    Raises:
        CheckpointError: The folder holds something else, or features of another encoder, data or format.
        DataError: There is no such split, features are not finite, or too many images cannot be read.
        Interrupted: A signal came. Finished parts are kept, and the same call resumes.
    """
    with Interruption().listening() as interruption:
        encoder = load(request.encoder, config=request.config, trust=request.trust)
        images = open_images(request.source, request.split)
        return embed_images(request, encoder, images, interruption)


def embed_images(
    request: EmbedRequest,
    encoder: Encoder,
    images: data.Source,
    interruption: Interruption,
    skipped: data.SkippedImages | None = None,
) -> EmbedManifest:
    """Writes the features of images that are open already; see `embed`.

    Args:
        request: Where to, and in which form; its encoder and config are not read.
        encoder: The encoder.
        images: The images of `request.source` and `request.split`.
        interruption: Listens to signals.
        skipped: Receives the images that cannot be read; None: they are listed beside the features.
    """
    if skipped is None:
        skipped = skips_of([encoder], request.max_unreadable, request.out / f"_{data.SKIPPED_FILE}")
    names = images.class_names
    wanted = EmbedManifest(
        encoder=encoder.facts,
        data=EmbeddedData(
            source=settled_spec(request.source),
            split=request.split,
            images=images.size,
            fingerprint=images.fingerprint,
            class_names=None if names is None else tuple(map(storable_text, names)),
        ),
        format=request.file_format,
        part_rows=request.part_rows,
        status="unfinished",
    )
    finished = _claim(request.out, wanted)
    if finished is not None:
        _LOG.info("%s holds these features already.", request.out)
        return finished
    try:
        return _fill(request.out, wanted, encoder, images, interruption, skipped)
    except OSError as error:
        raise CheckpointError(
            f"Cannot write in {request.out}: {error.strerror or error}. What is written is kept; the same command "
            "resumes."
        ) from error


def _fill(
    out: Path,
    wanted: EmbedManifest,
    encoder: Encoder,
    images: data.Source,
    interruption: Interruption,
    skipped: data.SkippedImages,
) -> EmbedManifest:
    """Writes what is missing in the folder; returns its manifest."""
    parts = out if wanted.format == "parquet" else out / _PARTS
    parts.mkdir(exist_ok=True)
    with runs.locked(out):
        rows = _write_parts(encoder, images, parts, wanted, interruption, skipped)
        if wanted.format == "npy":
            _join(parts, out, rows, encoder.width)
        versions = {name: metadata.version(name) for name in ("barlowtf", "tensorflow", "keras", "pyarrow")}
        manifest = wanted.model_copy(update={"status": "finished", "rows": rows, "versions": versions})
        write_record(out / MANIFEST, manifest)
    return manifest


def _claim(out: Path, wanted: EmbedManifest) -> EmbedManifest | None:
    """Takes the folder for these features; returns its manifest where they are complete."""
    manifest = out / MANIFEST
    if not manifest.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CheckpointError(f"{out} is in use and holds no features. Choose another --out.")
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_record(manifest, wanted)
        except OSError as error:
            raise CheckpointError(f"Cannot write {manifest}: {error.strerror}. Choose another --out.") from error
        return None
    found = read_record(manifest, EmbedManifest)
    essence = _essence(wanted)
    differing = [key for key, value in _essence(found).items() if value != essence[key]]
    if differing:
        raise CheckpointError(f"{out} holds features that differ in {', '.join(differing)}. Choose another --out.")
    return found if found.status == "finished" and _holds_rows(out, found) else None


def _holds_rows(out: Path, manifest: EmbedManifest) -> bool:
    """Returns whether the files are there that a manifest tells of; they are written again where not."""
    try:
        open_features(out)
    except CheckpointError as error:
        if manifest.rows != 0:
            _LOG.warning("%s Writing what is missing.", error)
        return manifest.rows == 0
    return True


def _essence(manifest: EmbedManifest) -> dict[str, Any]:
    """Returns what decides the features and their files, without the names that a user gives to things."""
    images = manifest.data
    return {
        "encoder": manifest.encoder.identity,
        "data": (images.split, images.images, images.fingerprint),
        "format": manifest.format,
        "part_rows": manifest.part_rows,
    }


def _write_parts(
    encoder: Encoder,
    images: data.Source,
    parts: Path,
    wanted: EmbedManifest,
    interruption: Interruption,
    skipped: data.SkippedImages,
) -> int:
    """Writes the parts that are missing; returns the rows of all."""
    rows, started, first = 0, time.monotonic(), None
    suffix = "parquet" if wanted.format == "parquet" else "npz"
    for number, start in enumerate(range(0, images.size, wanted.part_rows)):
        file = parts / f"part-{number:05d}.{suffix}"
        ids = np.arange(start, min(start + wanted.part_rows, images.size), dtype=np.int64)
        count = _count(file)
        if count is None:
            first = start if first is None else first
            try:
                _write_part(file, encoder, images, ids, skipped)
            except Interrupted as error:
                name = interruption.received.name if interruption.received else "SIGTERM"
                raise Interrupted(
                    f"Stopped by {name} after {start:,} of {images.size:,} images, saved. The same command resumes.",
                    interruption.received or signal.SIGTERM,
                ) from error
            log_progress(int(ids[-1]) + 1, first, images.size, started)
            count = _count(file)
        rows += cast(int, count)
    return rows


def _write_part(
    file: Path, encoder: Encoder, images: data.Source, ids: np.ndarray, skipped: data.SkippedImages
) -> None:
    features, ids = readable_features(encoder, images, ids, skipped)
    labels = images.labels_of(ids) if images.has_labels else None
    with whole_file(file) as aside:
        if file.suffix == ".npz":
            arrays: dict[str, Any] = {"features": features, "ids": ids}
            np.savez(aside, **(arrays if labels is None else {**arrays, "labels": labels}))
            return
        width = features.shape[1]
        # Null where an image has none.
        known = pa.nulls(len(ids), pa.int64()) if labels is None else pa.array(labels, pa.int64(), mask=labels < 0)
        columns = {
            "id": pa.array(ids),
            "path": pa.array([storable_text(images.identify(int(number))) for number in ids], pa.string()),
            "label": known,
            "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1), pa.float32()), width),
        }
        pq.write_table(pa.table(columns), aside)


def readable_features(
    encoder: Encoder, images: data.Source, ids: np.ndarray, skipped: data.SkippedImages
) -> tuple[np.ndarray, np.ndarray]:
    """Returns features float32 [n, d] and the ids of the images that could be read, int64 [n].

    Args:
        encoder: Makes the features.
        images: The images.
        ids: Numbers of the images, integer [m].
        skipped: Receives those that cannot be read.

    Raises:
        DataError: Features are not finite, or too many images cannot be read.
    """
    kept = [np.zeros(0, np.int64)]

    def views() -> Iterator[tf.Tensor]:
        for numbers, batch in readable_views(encoder, images, ids, skipped):
            kept.append(numbers)
            yield batch

    features, numbers = encoder.features_of(views()), np.concatenate(kept)
    require_finite(encoder.name, features, numbers)
    return features, numbers


def _count(file: Path) -> int | None:
    """Returns the rows of a part; None where it is missing or damaged."""
    try:
        if file.suffix == ".parquet":
            return pq.read_metadata(file).num_rows
        with np.load(file) as part:
            return len(part["ids"])
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, pa.ArrowInvalid):
        return None


def _join(parts: Path, out: Path, rows: int, width: int) -> None:
    """Makes one array of each kind from the parts, and deletes the parts."""
    files = sorted(parts.glob("part-*.npz"))
    with np.load(files[0]) as part:
        names = ["features", "ids", *(["labels"] if "labels" in part else [])]
    with whole_files([out / f"{name}.npy" for name in names]) as places:
        features = np.lib.format.open_memmap(places[0], "w+", np.float32, (rows, width))
        reserve(places[0])
        others: dict[str, list[np.ndarray]] = {name: [] for name in names[1:]}
        start = 0
        for file in files:
            with np.load(file) as part:
                features[start : start + len(part["ids"])] = part["features"]
                start += len(part["ids"])
                for name, arrays in others.items():
                    arrays.append(part[name])
        features.flush()
        for place, arrays in zip(places[1:], others.values(), strict=True):
            np.save(place, np.concatenate(arrays))
    shutil.rmtree(parts)
