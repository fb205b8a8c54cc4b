"""VOC as TensorFlow Datasets prepares it, or any set there whose images have a list of objects with a label."""

import logging
import os
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.data.multi_label import ABSENT, DIFFICULT, PRESENT, MultiLabelSet
from barlowtf.data.part import PartOfSource
from barlowtf.data.records import RecordSource
from barlowtf.data.tfds_builder import feature_parser, prepared_builder, record_storage
from barlowtf.errors import DataError

_LOG = logging.getLogger("barlowtf")
# VOC calls train and val together trainval.
_SPLITS = {"train": ("train", "validation"), "test": ("test",)}


def voc_tfds(name: str, split: str, data_dir: str | None = None) -> MultiLabelSet:
    """Returns the images of a data set of TensorFlow Datasets; downloads and prepares it if needed.

    An image shows a class when one of its objects has it and is not difficult; a class is difficult in an image where
    all its objects there are. Without a feature `is_difficult`, no object is difficult.

    Args:
        name: NAME[/CONFIG][:VERSION], e.g. "voc/2007".
        split: "train" (train and validation together) or "test".
        data_dir: Folder of prepared data sets. None: the environment's TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Raises:
        DataError: As for `barlowtf.data.tfds.tfds_source`, or the data set has no objects with labels, or a class has
            no positive.
    """
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir or os.environ.get("TFDS_DATA_DIR"))
    features, splits = builder.info.features, builder.info.splits
    lacking = [known for known in _SPLITS[split] if known not in splits]
    if lacking:
        raise DataError(
            f"Invalid data tfds:{name}: received splits {', '.join(splits)}, expected {', '.join(_SPLITS[split])}."
        )
    class_names = _class_names(features, name)
    if "image" not in features:
        raise DataError(f"Invalid data tfds:{name}: received features {', '.join(features)}, expected image.")
    files = [os.fspath(path) for known in _SPLITS[split] for path in splits[known].filepaths]
    read_record, locate, size = record_storage(files, builder.info.file_format.value, f"tfds:{name}")
    source = RecordSource(
        name=f"tfds:{name} {'+'.join(_SPLITS[split])}",
        files=files,
        size=size,
        read_record=read_record,
        locate=locate,
        image_of=feature_parser(features, "image", tfds.decode.SkipDecoding()),
        label_of=None,
        class_names=lambda source: None,
    )
    numbers, targets = source.parse_readable(np.arange(size), _targets_of(features, len(class_names)))
    if len(numbers) == size:
        return MultiLabelSet(source, targets, class_names)
    lost = source.identify(int(np.setdiff1d(np.arange(size), numbers)[0]))
    _LOG.warning("%d of %d records of %s cannot be read, e.g. %s: left out.", size - len(numbers), size, name, lost)
    return MultiLabelSet(PartOfSource(source, numbers), targets, class_names)


def _class_names(features: Any, name: str) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    inner = getattr(features["objects"], "feature", None) if "objects" in features else None
    label = inner["label"] if isinstance(inner, tfds.features.FeaturesDict) and "label" in inner else None
    if not isinstance(label, tfds.features.ClassLabel):
        raise DataError(
            f"Invalid data tfds:{name}: received features {', '.join(features)}, expected objects/label, as in "
            "voc/2007."
        )
    return tuple(label.names)


def _targets_of(features: Any, classes: int) -> Any:
    """Returns a function from a serialized example, string [], to its targets, int8 [K]."""
    import tensorflow_datasets as tfds

    has_difficult = "is_difficult" in features["objects"].feature
    wanted = {"objects": {"label": True, **({"is_difficult": True} if has_difficult else {})}}
    alone = tfds.decode.PartialDecoding(wanted).extract_features(features)

    def targets(serialized: tf.Tensor) -> tf.Tensor:
        objects = alone.deserialize_example(serialized)["objects"]
        is_class = objects["label"][:, tf.newaxis] == tf.range(classes, dtype=objects["label"].dtype)  # [objects, K]
        there = tf.reduce_any(is_class, axis=0)
        if has_difficult:
            is_class &= ~objects["is_difficult"][:, tf.newaxis]
        present = tf.reduce_any(is_class, axis=0)
        return tf.cast(tf.where(present, PRESENT, tf.where(there, DIFFICULT, ABSENT)), tf.int8)

    return targets
