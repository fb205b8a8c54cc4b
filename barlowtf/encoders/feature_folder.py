"""The features that `barlowtf embed` has written, as a bank to search in."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from barlowtf.data.npy_files import map_array
from barlowtf.encoders.feature_rows import DAMAGED, ArrayFeatures, ParquetFeatures
from barlowtf.errors import CheckpointError
from barlowtf.places import require_features
from barlowtf.records import EmbedManifest, EncoderFacts, read_record
from barlowtf.regular import require_regular_below

# Readers of a folder of Parquet files pass over names with "_" or "." in front.
MANIFEST = "_embed.json"
_COLUMNS = pa.schema({"id": pa.int64(), "path": pa.string(), "label": pa.int64()})
# Features hardly shrink; paths and labels may.
_MOST_EXPANSION, _FREE_BYTES = 100, 2**26


@dataclass(frozen=True)
class FeatureFolder:
    """Features of images, and what is known of these.

    Attributes:
        path: The folder.
        manifest: Which encoder, images and format.
        features: float32 [M, d], read where it is sliced.
        ids: Number of each image in its data, int64 [M], rising.
        labels: int64 [M], < 0 where an image has none, or None.
        paths: Where each image lies, string [M]; None: the format does not keep it.
    """

    path: Path
    manifest: EmbedManifest
    features: ArrayFeatures | ParquetFeatures
    ids: np.ndarray
    labels: np.ndarray | None
    paths: pa.ChunkedArray | None

    @property
    def rows(self) -> int:
        """Number of images, M."""
        return len(self.ids)

    def label_name(self, row: int) -> str | None:
        """Returns the name of a row's class, its number where it has none, None without a label."""
        if self.labels is None or self.labels[row] < 0:
            return None
        names, label = self.manifest.data.class_names, int(self.labels[row])
        return names[label] if names is not None else str(label)

    def row_of(self, number: int) -> int:
        """Returns the row of an image.

        Args:
            number: Its number in the data.

        Raises:
            CheckpointError: The folder does not hold it.
        """
        row = int(np.searchsorted(self.ids, number))
        if row == self.rows or self.ids[row] != number:
            raise CheckpointError(
                f"{self.path} has no image {number}: expected one of the ids {self.ids[0]} to {self.ids[-1]}, without "
                "those of images that could not be read."
            )
        return row


def open_features(path: Path, encoder: EncoderFacts | None = None) -> FeatureFolder:
    """Returns the features in a folder that `barlowtf embed` has finished.

    Args:
        path: The folder.
        encoder: The encoder that must have made them; None: any.

    Raises:
        CheckpointError: It is not such a folder, is unfinished or damaged, or belongs to another encoder.
    """
    require_features(str(path))
    if not (path / MANIFEST).is_file():
        raise CheckpointError(
            f"{path} holds no features. Expected the --out folder of barlowtf embed{_those_below(path)}."
        )
    manifest = read_record(path / MANIFEST, EmbedManifest)
    if manifest.status != "finished":
        raise CheckpointError(f"The features in {path} are unfinished. Run the barlowtf embed that began them again.")
    made_by = manifest.encoder
    if encoder is not None and made_by.identity != encoder.identity:
        raise CheckpointError(
            f"The features in {path} belong to another encoder: received {made_by.name} with weights "
            f"{made_by.sha256[:12]}, expected {encoder.name} with {encoder.sha256[:12]}, its images prepared in the "
            "same way. Embed the images with that encoder into another folder."
        )
    try:
        require_regular_below(path)
        folder = _read_parquet(path, manifest) if manifest.format == "parquet" else _read_arrays(path, manifest)
    except DAMAGED as error:
        reason = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise CheckpointError(f"Cannot read the features in {path}: {reason}. Embed the images again.") from error
    expected = (manifest.rows, manifest.encoder.feature_width)
    if tuple(folder.features.shape) != expected or len(folder.ids) != manifest.rows:
        raise CheckpointError(
            f"{path} is damaged: received features {tuple(folder.features.shape)} and {len(folder.ids)} ids, expected "
            f"{expected} as its manifest says. Embed the images again."
        )
    names, labels = manifest.data.class_names, folder.labels
    if labels is not None and names is not None and len(labels) and labels.max() >= len(names):
        raise CheckpointError(
            f"{path} is damaged: received the label {labels.max()}, expected those of "
            f"{len(names)} classes. Embed the images again."
        )
    if np.any(np.diff(folder.ids) <= 0):
        raise CheckpointError(f"{path} is damaged: its ids do not rise. Embed the images again.")
    if not folder.rows:
        raise CheckpointError(f"{path} holds the features of no image: none could be read.")
    return folder


def _those_below(path: Path) -> str:
    """Returns which folders below hold features: `predict` keeps those of a run in RUN/features/ID."""
    found = sorted(
        (manifest for below in ("*", "features/*") for manifest in path.glob(f"{below}/{MANIFEST}")),
        key=lambda manifest: -manifest.stat().st_mtime,
    )
    if not found:
        return ""
    newest = f"here {found[0].parent}"
    return f", {newest}" if len(found) == 1 else f", {newest}, the newest of {len(found)} below it"


def _read_parquet(path: Path, manifest: EmbedManifest) -> FeatureFolder:
    files = sorted(path.glob("part-*.parquet"))
    if not files:
        raise ValueError("there is no part-00000.parquet")
    for file in files:
        _check_columns(file, manifest.encoder.feature_width)
    tables = [_read_part(file, manifest) for file in files]
    table = pa.concat_tables(tables)
    has_labels = table["label"].null_count < max(table.num_rows, 1)
    return FeatureFolder(
        path,
        manifest,
        ParquetFeatures(files, manifest.encoder.feature_width),
        table["id"].to_numpy(),
        pc.fill_null(table["label"], -1).to_numpy() if has_labels else None,
        table["path"],
    )


def _read_part(file: Path, manifest: EmbedManifest) -> pa.Table:
    """Returns id, path and label of the images of a part, or raises ValueError."""
    table = pq.ParquetFile(file).read(["id", "path", "label"]).cast(_COLUMNS)
    if table.num_rows > manifest.part_rows:
        raise ValueError(f"{file.name} has {table.num_rows} rows, expected at most {manifest.part_rows} in a part")
    if table["id"].null_count or table["path"].null_count:
        raise ValueError(f"an image in {file.name} has no id or no path")
    _check_ids(file, table["id"].to_numpy(), manifest)
    return table


def _check_ids(file: Path, ids: np.ndarray, manifest: EmbedManifest) -> None:
    """Raises ValueError where numbers of images are not those of the data, or do not rise."""
    images = manifest.data.images
    wrong = ids[(ids < 0) | (ids >= images)]
    if len(wrong):
        raise ValueError(f"{file.name} has the id {wrong[0]}, expected ids from 0 to {images - 1}")
    if np.any(np.diff(ids) <= 0):
        raise ValueError(f"the ids in {file.name} do not rise")


def _read_arrays(path: Path, manifest: EmbedManifest) -> FeatureFolder:
    features = _map(path / "features.npy")
    if features.dtype != np.float32 or features.ndim != 2:
        raise ValueError(
            f"features.npy is {features.dtype.name} of {features.ndim} dimensions, expected float32 [M, d]"
        )
    labels, ids = path / "labels.npy", _integers(path / "ids.npy", len(features))
    _check_ids(path / "ids.npy", ids, manifest)
    return FeatureFolder(
        path,
        manifest,
        ArrayFeatures(path / "features.npy", features),
        ids,
        _integers(labels, len(features)) if labels.exists() else None,
        None,
    )


def _map(file: Path) -> np.ndarray:
    try:
        return map_array(file)
    except ValueError as error:
        raise ValueError(f"{file.name}: {error}") from error


def _integers(file: Path, count: int) -> np.ndarray:
    """Returns the array of a file, int64 [count]; mapped first, which takes no memory for what the file lacks."""
    array = _map(file)
    if array.shape != (count,) or array.dtype.kind != "i":
        raise ValueError(f"{file.name} is {array.dtype.name} {array.shape}, expected integers ({count},)")
    return np.array(array, np.int64)


def _check_columns(file: Path, width: int) -> None:
    """Raises ValueError for a file with other features, or whose columns would take far more memory than its bytes."""
    kind = pq.read_schema(file).field("feature").type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != width or kind.value_type != pa.float32():
        raise ValueError(f"{file.name} has features of type {str(kind)[:80]}, expected {width} float32")
    metadata = pq.read_metadata(file)
    columns = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    if columns > max(_FREE_BYTES, _MOST_EXPANSION * file.stat().st_size):
        raise ValueError(f"{file.name} would take {columns:,} bytes")
