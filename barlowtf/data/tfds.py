"""Data sets of TensorFlow Datasets, with random access whatever the format in which they were prepared.

ArrayRecord files have an index of their own. TFRecord files, the default of TensorFlow Datasets, get ours
(`barlowtf.data.records`), so no shuffle buffer is needed and a run resumes at any example.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.data.records import RecordSource, index_records, locate_record, record_reader
from barlowtf.errors import DataError

_LOGGER = logging.getLogger("barlowtf")
# Validation first: the test images of ImageNet have no labels.
_TEST_SPLITS = ("validation", "test")


def tfds_source(name: str, split: str, data_dir: str | None = None) -> RecordSource | None:
    """Returns a split of a data set of TensorFlow Datasets; downloads and prepares it where that is not done yet.

    Args:
        name: NAME[/CONFIG][:VERSION], e.g. "cifar10" or "imagenet2012:5.1.0".
        split: "train", or "test" for the data set's validation split or else its test split.
        data_dir: Where prepared data sets lie. None: the environment's TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Returns:
        The split, or None when there is none for testing.

    Raises:
        DataError: Unknown data set, not prepared and not to be had, no train split, no images, a damaged file, or
            prepared in a format without random access.
    """
    # Importing it takes a second; only those who ask for it wait.
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir or os.environ.get("TFDS_DATA_DIR"))
    splits = builder.info.splits
    chosen = "train" if split == "train" else next((known for known in _TEST_SPLITS if known in splits), None)
    if chosen is None:
        return None
    if chosen not in splits:
        raise DataError(f"tfds:{name} has no train split. Received {sorted(splits)}. Choose another data set.")
    features = builder.info.features
    image = _feature(features, tfds.features.Image, "image")
    if image is None:
        raise DataError(f"tfds:{name} holds no images. Received features {sorted(features)}. Choose another data set.")
    if np.dtype(features[image].np_dtype) not in (np.uint8, np.uint16):
        raise DataError(f"tfds:{name} holds {features[image].np_dtype} images. Expected 8 or 16 bits a channel.")
    label = _feature(features, tfds.features.ClassLabel, "label")
    class_names = None if label is None else tuple(features[label].names)
    files = [os.fspath(path) for path in splits[chosen].filepaths]
    read_record, locate, size = record_storage(files, builder.info.file_format.value, f"tfds:{name}")
    return RecordSource(
        name=f"tfds:{name} {chosen}",
        files=files,
        size=size,
        read_record=read_record,
        locate=locate,
        image_of=feature_parser(features, image, tfds.decode.SkipDecoding()),
        label_of=None if label is None else feature_parser(features, label, None),
        class_names=lambda source: class_names,
    )


def prepared_builder(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set, which is downloaded and prepared where that is not done yet.

    Raises:
        DataError: It is unknown, or cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    # Data sets bring their own code, and it raises what it likes.
    except Exception as error:
        raise DataError(
            f"Cannot open tfds:{name}: {_first_line(error)}. Expected NAME[/CONFIG][:VERSION] of TensorFlow Datasets, "
            f"prepared below {data_dir or '~/tensorflow_datasets'} or known to its catalog."
        ) from error
    if builder.is_prepared():
        return builder
    _LOGGER.info("Preparing tfds:%s in %s: this downloads it once.", name, builder.data_dir)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise DataError(
            f"tfds:{name} is not prepared in {builder.data_dir} and could not be downloaded: {_first_line(error)}. "
            f"Run `tfds build {name}` where there is a network, copy the folder, and set TFDS_DATA_DIR to its parent."
        ) from error
    return builder


def _first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def _feature(features: Any, kind: type, preferred: str) -> str | None:
    """Returns the name of the top-level feature of a kind: the preferred one, or the first."""
    names = [name for name, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in names else next(iter(names), None)


def feature_parser(features: Any, name: str, decoder: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a serialized example, string [], to one of its features."""
    import tensorflow_datasets as tfds

    alone = tfds.decode.PartialDecoding({name: True}).extract_features(features)
    decoders = None if decoder is None else {name: decoder}
    return lambda serialized: alone.deserialize_example(serialized, decoders=decoders)[name]


def record_storage(
    files: list[str], file_format: str, name: str
) -> tuple[Callable[[tf.Tensor], tf.Tensor], Callable[[int], str], int]:
    """Returns how to read a record, how to name its place, and how many there are."""
    if file_format == "tfrecord":
        index = index_records(files)
        return record_reader(index), lambda number: locate_record(index, number), len(index.offset)
    if file_format == "array_record":
        return _array_record_storage(files, name)
    raise DataError(
        f"{name} is prepared as {file_format}. Expected array_record or tfrecord. "
        "Prepare it again with `tfds build --file_format=array_record`."
    )


def _array_record_storage(
    files: list[str], name: str
) -> tuple[Callable[[tf.Tensor], tf.Tensor], Callable[[int], str], int]:
    try:
        from array_record.python.array_record_data_source import ArrayRecordDataSource
    except ImportError as error:
        raise DataError(
            f"{name} is prepared as array_record, which this machine cannot read. Install the package array_record, "
            "or prepare the data set again with `tfds build --file_format=tfrecord`."
        ) from error
    records = ArrayRecordDataSource(files)

    def read(number: tf.Tensor) -> tf.Tensor:
        # The reader is C++ behind Python and safe for threads.
        return tf.ensure_shape(tf.numpy_function(lambda index: records[int(index)], [number], tf.string), [])

    return read, lambda number: f"{name} record {number} of {os.path.dirname(files[0])}", len(records)
