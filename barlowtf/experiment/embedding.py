"""`barlowtf embed`: the features of a data set, in its order, as files.

::

    OUT/_embed.json            encoder, data, format, number of images
        part-00000.parquet     id, path, label, feature of the images 0 to 1,999; and so on
        features.npy           or these three, with format "npy"
        labels.npy  ids.npy
"""

import json
import logging
import os
import shutil
import signal
import time
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from barlowtf import data, runs
from barlowtf.atomic import write_file
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.extracting import PART_IMAGES, center_views, say_progress
from barlowtf.encoders.loading import load
from barlowtf.errors import CheckpointError, DataError, Interrupted
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
# Readers of a folder of Parquet files pass over names with "_" or "." in front.
_MANIFEST = "_embed.json"
_PARTS = ".parts"


def embed(
    encoder: str,
    source: str,
    out: Path,
    *,
    split: str = "train",
    file_format: str = "parquet",
    config: str | None = None,
    part_rows: int = PART_IMAGES,
) -> dict[str, Any]:
    """Writes the features of all images of a split; goes on where an earlier call was stopped.

    Args:
        encoder: See `load`.
        source: SPEC of the data.
        out: Folder, new or that of the call to go on with.
        split: "train" or "test".
        file_format: "parquet": id int64, path string, label int64 or null, feature float32 [d]; or "npy": features
            float32 [M, d], labels int64 [M] (where there are labels), ids int64 [M].
        config: Recipe of the encoder, see `load`.
        part_rows: Images between two saves.

    Returns:
        What _embed.json holds. Images that cannot be read are left out: their ids are missing.

    Raises:
        CheckpointError: The folder holds something else, or features of another encoder, data or format.
        DataError: There is no such split.
        Interrupted: A signal came. Whole parts are kept, and the same call goes on.
    """
    with Interruption().listening() as interruption:
        opened = load(encoder, config=config)
        images = data.open_source(source, split)
        if images is None:
            raise DataError(f"{source} has no {split} split.")
        wanted = {
            "encoder": {"name": encoder, **opened.identity, "feature_width": opened.width},
            "data": {"source": source, "split": split, "images": images.size, "fingerprint": images.fingerprint},
            "format": file_format,
            "part_rows": part_rows,
        }
        finished = _claim(out, wanted)
        if finished is not None:
            _LOG.info("%s is finished: nothing to do.", out)
            return finished
        try:
            return _fill(out, wanted, opened, images, interruption)
        except OSError as error:
            raise CheckpointError(
                f"Cannot write in {out}: {error.strerror or error}. What is written is kept; the same command resumes."
            ) from error


def _fill(
    out: Path, wanted: dict[str, Any], encoder: Encoder, images: data.Source, interruption: Interruption
) -> dict[str, Any]:
    """Writes what is missing in the folder; returns what its manifest then holds."""
    parts = out if wanted["format"] == "parquet" else out / _PARTS
    parts.mkdir(exist_ok=True)
    with runs.locked(out):
        rows = _write_parts(encoder, images, parts, wanted["format"], wanted["part_rows"], interruption)
        if wanted["format"] == "npy":
            _join(parts, out, rows, encoder.width)
        versions = {name: metadata.version(name) for name in ("barlowtf", "tensorflow", "keras", "pyarrow")}
        result = {**wanted, "status": "finished", "rows": rows, "versions": versions}
        write_file(out / _MANIFEST, json.dumps(result, indent=2) + "\n")
    return result


def _claim(out: Path, wanted: dict[str, Any]) -> dict[str, Any] | None:
    """Takes the folder for these features; returns what it says where they are complete."""
    manifest = out / _MANIFEST
    if not manifest.exists():
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise CheckpointError(f"{out} is in use and holds no features. Choose another --out.")
        try:
            out.mkdir(parents=True, exist_ok=True)
            write_file(manifest, json.dumps({**wanted, "status": "unfinished"}, indent=2) + "\n")
        except OSError as error:
            raise CheckpointError(f"Cannot write {manifest}: {error.strerror}. Choose another --out.") from error
        return None
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{manifest} is not valid JSON: {error}. Choose another --out.") from error
    differing = [
        key for key in ("encoder", "data", "format", "part_rows") if _essence(found, key) != _essence(wanted, key)
    ]
    if differing:
        raise CheckpointError(f"{out} holds features of another {', '.join(differing)}. Choose another --out.")
    return found if found.get("status") == "finished" else None


def _essence(manifest: dict[str, Any], key: str) -> Any:
    """Returns an entry without the names that a user gives to things."""
    value = manifest.get(key)
    return (
        {name: item for name, item in value.items() if name not in ("name", "source")}
        if isinstance(value, dict)
        else value
    )


def _write_parts(
    encoder: Encoder,
    images: data.Source,
    parts: Path,
    file_format: str,
    part_rows: int,
    interruption: Interruption,
) -> int:
    """Writes the parts that are missing; returns the rows of all."""
    rows, started, first = 0, time.monotonic(), None
    for number, start in enumerate(range(0, images.size, part_rows)):
        file = parts / f"part-{number:05d}.{'parquet' if file_format == 'parquet' else 'npz'}"
        ids = np.arange(start, min(start + part_rows, images.size), dtype=np.int64)
        count = _count(file)
        if count is None:
            first = start if first is None else first
            try:
                _write_part(file, encoder, images, ids)
            except Interrupted as error:
                name = interruption.received.name if interruption.received else "SIGTERM"
                raise Interrupted(
                    f"Stopped by {name} after {start:,} of {images.size:,} images, saved. The same command resumes.",
                    interruption.received or signal.SIGTERM,
                ) from error
            say_progress(int(ids[-1]) + 1, first, images.size, started)
            count = _count(file)
        rows += count
    return rows


def _write_part(file: Path, encoder: Encoder, images: data.Source, ids: np.ndarray) -> None:
    features, ids = _features(encoder, images, ids)
    labels = images.labels_of(ids) if images.has_labels else None
    aside = file.with_name(f".{file.name}")
    if file.suffix == ".npz":
        with open(aside, "wb") as target:
            np.savez(target, features=features, ids=ids, **({} if labels is None else {"labels": labels}))
    else:
        width = features.shape[1]
        columns = {
            "id": pa.array(ids),
            "path": pa.array([_text(images.identify(int(number))) for number in ids], pa.string()),
            "label": pa.nulls(len(ids), pa.int64()) if labels is None else pa.array(labels, pa.int64()),
            "feature": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1), pa.float32()), width),
        }
        pq.write_table(pa.table(columns), aside)
    os.replace(aside, file)


def _text(path: str) -> str:
    """Returns a path as text that can be stored: bytes that are no UTF-8 as a backslash, x and two digits."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _features(encoder: Encoder, images: data.Source, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns features float32 [n, d] and the ids of the images that could be read, int64 [n]."""

    def of(numbers: np.ndarray) -> np.ndarray:
        return encoder.features(center_views(encoder, images, numbers), len(numbers))

    try:
        return of(ids), ids
    except tf.errors.OpError:
        readable = data.readable_ids(images, ids, channels=encoder.image_shape[2])
        if len(readable) == len(ids):
            raise
        lost = [images.identify(int(number)) for number in np.setdiff1d(ids, readable)]
        _LOG.warning("%d images cannot be read and are left out, e.g. %s.", len(lost), ", ".join(lost[:5]))
        return of(readable), readable


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
    """Makes one array of each kind from the parts, written aside and renamed, and drops the parts."""
    features = np.lib.format.open_memmap(out / ".features.npy", "w+", np.float32, (rows, width))
    others: dict[str, list[np.ndarray]] = {"ids": [], "labels": []}
    start = 0
    for file in sorted(parts.glob("part-*.npz")):
        with np.load(file) as part:
            features[start : start + len(part["ids"])] = part["features"]
            start += len(part["ids"])
            for name in others:
                if name in part:
                    others[name].append(part[name])
    features.flush()
    for name, arrays in others.items():
        if arrays:
            np.save(out / f".{name}.npy", np.concatenate(arrays))
            os.replace(out / f".{name}.npy", out / f"{name}.npy")
    os.replace(out / ".features.npy", out / "features.npy")
    shutil.rmtree(parts)
