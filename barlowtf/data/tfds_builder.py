"""What TensorFlow Datasets prepared, with random access in either of its file formats.

ArrayRecord files have an index of their own. TFRecord files, the default of TensorFlow Datasets, get ours
(`barlowtf.data.records`), so no shuffle buffer is needed and a run resumes at any example.
"""

import logging
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from barlowtf.data.records import index_records, locate_record, record_reader
from barlowtf.downloads import downloads_allowed
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")


def prepared_builder(name: str, data_dir: str | None) -> Any:
    """Returns the builder of a data set; downloads and prepares it if needed.

    Args:
        name: NAME[/CONFIG][:VERSION].
        data_dir: Folder of prepared data sets. None: ~/tensorflow_datasets.

    Raises:
        DataError: The data set is unknown or cannot be downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    # Data sets bring their own code, which may raise anything.
    except Exception as error:
        raise DataError(
            f"Cannot open tfds:{name}: {_first_line(error)}. Expected NAME[/CONFIG][:VERSION] of TensorFlow Datasets, "
            f"prepared in {data_dir or '~/tensorflow_datasets'} or in its catalog."
        ) from error
    if builder.is_prepared():
        return builder
    if not downloads_allowed():
        raise DataError(
            f"tfds:{name} is not prepared in {builder.data_dir}, and a dry run downloads nothing. Run it without "
            f"--dry-run, or prepare the data first: barlowtf data show --data tfds:{name}."
        )
    _LOG.info("Preparing tfds:%s in %s: this downloads it once.", name, builder.data_dir)
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(try_download_gcs=False))
    except Exception as error:
        raise DataError(
            f"tfds:{name} is not prepared in {builder.data_dir} and could not be downloaded: {_first_line(error)}. "
            f"Run `tfds build {name}` on a machine with a network, copy the folder, and set TFDS_DATA_DIR to its "
            "parent."
        ) from error
    return builder


def _first_line(error: Exception) -> str:
    return (str(error).strip().partition("\n")[0] or type(error).__name__).rstrip(".")


def feature_parser(features: Any, name: str, decoder: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a serialized example, string [], to one of its features.

    Args:
        features: The data set's `FeaturesDict`.
        name: Name of the feature.
        decoder: Its `tfds.decode` decoder; None: the default one.
    """
    import tensorflow_datasets as tfds

    alone = tfds.decode.PartialDecoding({name: True}).extract_features(features)
    decoders = None if decoder is None else {name: decoder}
    return lambda serialized: alone.deserialize_example(serialized, decoders=decoders)[name]


def record_storage(
    files: list[str], file_format: str, name: str
) -> tuple[Callable[[tf.Tensor], tf.Tensor], Callable[[int], str], int]:
    """Returns a function that reads a record, one that names its place, and the number of records.

    Args:
        files: Paths of the shards.
        file_format: "tfrecord" or "array_record".
        name: Name of the data set, for messages.

    Raises:
        DataError: Another format, a package is missing, or a file is damaged.
    """
    if file_format == "tfrecord":
        index = index_records(files)
        return record_reader(index), lambda number: locate_record(index, number), len(index.offset)
    if file_format == "array_record":
        return _array_record_storage(files, name)
    raise DataError(
        f"Invalid data {name}: received file format {file_format}, expected array_record or tfrecord. "
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
