"""The features that `barlowtf embed` has written, as a bank to search in."""

import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from barlowtf.errors import CheckpointError
from barlowtf.places import require_features
from barlowtf.records import EmbedManifest, EncoderFacts, read_record
from barlowtf.regular import require_regular_below

# Readers of a folder of Parquet files pass over names with "_" or "." in front.
MANIFEST = "_embed.json"
# What readers of damaged files raise.
_DAMAGED = (OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError)
_COLUMNS = pa.schema({"id": pa.int64(), "path": pa.string(), "label": pa.int64()})
# Features hardly shrink; paths and labels may.
_MOST_EXPANSION, _FREE_BYTES = 100, 2**26


class ParquetFeatures:
    """Features in Parquet files, read where they are sliced: a bank of `barlowtf.metrics.nearest_neighbors`."""

    def __init__(self, files: list[Path], width: int) -> None:
        """Reads how many rows each file has.

        Args:
            files: The parts, in their order.
            width: Width d of the features.
        """
        self._files = files
        rows = [pq.read_metadata(file).num_rows for file in files]
        self._starts = np.concatenate([[0], np.cumsum(rows, dtype=np.int64)]).tolist()
        self.shape = (self._starts[-1], width)
        self._part: tuple[int, np.ndarray] = (-1, np.zeros((0, width), np.float32))

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Returns some rows, float32 [n, d]; the file that was read last is kept."""
        start, stop, _ = rows.indices(self.shape[0])
        pieces = [self._part[1][:0]]
        while start < stop:
            number = bisect.bisect_right(self._starts, start) - 1
            if self._part[0] != number:
                self._part = (number, self._read(self._files[number]))
            first = self._starts[number]
            pieces.append(self._part[1][start - first : stop - first])
            start = self._starts[number + 1]
        return pieces[-1] if len(pieces) == 2 else np.concatenate(pieces)

    def _read(self, file: Path) -> np.ndarray:
        try:
            column = pq.ParquetFile(file).read(["feature"])["feature"].combine_chunks()
            return column.flatten().to_numpy().reshape(-1, self.shape[1])
        except (*_DAMAGED, pa.ArrowException) as error:
            raise CheckpointError(f"Cannot read {file}: it is damaged. Embed the images again.") from error


@dataclass(frozen=True)
class FeatureFolder:
    """Features of images, and what is known of these.

    Attributes:
        path: The folder.
        manifest: Which encoder, images and format.
        features: float32 [M, d]: a memory-mapped array, or what is sliced like one.
        ids: Number of each image in its data, int64 [M], rising.
        labels: int64 [M], < 0 where an image has none, or None.
        paths: Where each image lies, string [M]; None: the format does not keep it.
    """

    path: Path
    manifest: EmbedManifest
    features: np.ndarray | ParquetFeatures
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
        raise CheckpointError(f"{path} holds no features. Expected the --out folder of barlowtf embed.")
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
    except (*_DAMAGED, pa.ArrowException) as error:
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


def _read_parquet(path: Path, manifest: EmbedManifest) -> FeatureFolder:
    files = sorted(path.glob("part-*.parquet"))
    if not files:
        raise ValueError("there is no part-00000.parquet")
    for file in files:
        _check_columns(file, manifest.encoder.feature_width)
    tables = [pq.ParquetFile(file).read(["id", "path", "label"]).cast(_COLUMNS) for file in files]
    table = pa.concat_tables(tables)
    if table["id"].null_count or table["path"].null_count:
        raise ValueError("an image has no id or no path")
    has_labels = table["label"].null_count < max(table.num_rows, 1)
    return FeatureFolder(
        path,
        manifest,
        ParquetFeatures(files, manifest.encoder.feature_width),
        table["id"].to_numpy(),
        pc.fill_null(table["label"], -1).to_numpy() if has_labels else None,
        table["path"],
    )


def _read_arrays(path: Path, manifest: EmbedManifest) -> FeatureFolder:
    features = np.load(path / "features.npy", mmap_mode="r")
    if features.dtype != np.float32 or features.ndim != 2:
        raise ValueError(
            f"features.npy is {features.dtype.name} of {features.ndim} dimensions, expected float32 [M, d]"
        )
    labels = path / "labels.npy"
    return FeatureFolder(
        path,
        manifest,
        features,
        _integers(path / "ids.npy", len(features)),
        _integers(labels, len(features)) if labels.exists() else None,
        None,
    )


def _integers(file: Path, count: int) -> np.ndarray:
    """Returns the array of a file, int64 [count]; mapped first, which takes no memory for what the file lacks."""
    array = np.load(file, mmap_mode="r")
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
