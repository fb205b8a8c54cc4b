"""Data source `tfds`: the data sets of TensorFlow Datasets."""

import os
from typing import Any

import numpy as np

from barlowtf.data.kind import SourceKind
from barlowtf.data.objects.tfds_objects import has_tfds_objects, tfds_objects
from barlowtf.data.records import RecordSource
from barlowtf.data.tfds_builder import feature_parser, prepared_builder, record_storage
from barlowtf.data.voc_tfds import voc_tfds
from barlowtf.errors import DataError

# Validation first: the test images of ImageNet have no labels.
_TEST_SPLITS = ("validation", "test")


def tfds_source(name: str, split: str, data_dir: str | None = None) -> RecordSource | None:
    """Returns a split of a data set of TensorFlow Datasets; downloads and prepares it if needed.

    Args:
        name: NAME[/CONFIG][:VERSION], e.g. "cifar10" or "imagenet2012:5.1.0".
        split: "train", or "test" for the data set's validation split or else its test split.
        data_dir: Folder of prepared data sets. None: the environment's TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Returns:
        The split, or None when there is no test split.

    Raises:
        DataError: The data set is unknown, cannot be downloaded, has no train split or no images, has a damaged file,
            or is prepared in a format without random access.
    """
    # Importing it takes a second; only those who need it wait.
    import tensorflow_datasets as tfds

    builder = prepared_builder(name, data_dir or os.environ.get("TFDS_DATA_DIR"))
    splits = builder.info.splits
    chosen = "train" if split == "train" else next((known for known in _TEST_SPLITS if known in splits), None)
    if chosen is None:
        return None
    if chosen not in splits:
        raise DataError(f"Invalid data tfds:{name}: received splits {', '.join(splits)}, expected train.")
    features = builder.info.features
    image = _feature(features, tfds.features.Image, "image")
    if image is None:
        raise DataError(f"Invalid data tfds:{name}: received features {', '.join(features)}, expected an image.")
    if np.dtype(features[image].np_dtype) not in (np.uint8, np.uint16):
        raise DataError(
            f"Invalid data tfds:{name}: received {features[image].np_dtype} images, expected 8 or 16 bits per channel."
        )
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


def _feature(features: Any, kind: type, preferred: str) -> str | None:
    """Returns the name of the top-level feature of a kind: the preferred one, or the first."""
    names = [name for name, feature in features.items() if isinstance(feature, kind)]
    return preferred if preferred in names else next(iter(names), None)


TFDS = SourceKind(
    prefix="tfds:",
    open=tfds_source,
    open_multi_label=voc_tfds,
    multi_label_syntax="tfds:NAME of a data set with labeled objects, such as tfds:voc/2007",
    open_objects=tfds_objects,
    has_objects=has_tfds_objects,
    objects_syntax="tfds:NAME of a data set with objects, such as tfds:voc/2007, tfds:voc/2007+2012 or tfds:coco/2017",
)
