"""Objects of images in data sets of TensorFlow Datasets: VOC, COCO, or any whose images have objects with boxes."""

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from barlowtf.data.objects.annotations import ObjectSet
from barlowtf.data.objects.cleaning import MarkedObjects, cleaned
from barlowtf.data.objects.sizes import source_sizes
from barlowtf.data.objects.voc_annotation import voc_boxes
from barlowtf.data.part import PartOfSource
from barlowtf.data.records import RecordSource
from barlowtf.data.source import Source
from barlowtf.data.tfds_builder import feature_parser, prepared_builder, record_storage
from barlowtf.errors import DataError, NoTestSplitError

_LOG = logging.getLogger("barlowtf")
_VOC = "voc"
_TRAIN, _VALIDATION, _TEST = "train", "validation", "test"
# Images of a test split that are looked at: those of COCO, and of VOC from 2012 on, have no public annotations.
_LOOKED_AT = 64
# Of the numbers of an object as they are passed on.
_BOX, _LABEL, _DIFFICULT, _CROWD, _AREA, _NUMBERS = slice(0, 4), 4, 5, 6, 7, 8
# Parts of a pixel: VOC's numbers have one decimal, and were divided by the size of the image in single precision.
_DECIMALS = 2


def tfds_objects(name: str, split: str, data_dir: str | None = None) -> ObjectSet:
    """Returns the images of a data set with their objects; downloads and prepares it if needed.

    Where the test split has annotations, train and validation together are the training images; else validation is the
    test split. Of several data sets the training images of all are taken, and the test images of the first that has
    any. There are no masks.

    Args:
        name: NAME[/CONFIG][:VERSION], e.g. "voc/2007"; several of one name joined: "voc/2007+2012".
        split: "train" or "test".
        data_dir: Folder of prepared data sets. None: the environment's TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Raises:
        NoTestSplitError: There are training images alone.
        DataError: As for `barlowtf.data.tfds.tfds_source`, the data set has no objects with boxes, or those that are
            joined have other features.
    """
    builders = [prepared_builder(one, data_dir or os.environ.get("TFDS_DATA_DIR")) for one in _names(name)]
    features = builders[0].info.features
    class_names = _class_names(features, name)
    for builder in builders[1:]:
        formats = {one.info.file_format for one in (builder, builders[0])}
        is_same = builder.name == builders[0].name and _class_names(builder.info.features, name) == class_names
        if len(formats) > 1 or not is_same:
            raise DataError(
                f"Invalid data tfds:{name}: received data sets of other names, classes or file formats, expected "
                "configurations of one, prepared alike. Give them one by one."
            )
    parts = _parts(builders, name)[split]
    if not parts:
        splits = ", ".join(builders[0].info.splits)
        raise (NoTestSplitError if split == "test" else DataError)(
            f"No {split} split in tfds:{name}: received splits {splits}, expected train, and validation or test with "
            "objects. Give another data set."
        )
    source = _source(parts, name, split)
    numbers, rows = source.parse_readable(np.arange(source.size), _parser(features))
    images = _readable(source, numbers)
    found = [np.frombuffer(row, np.float64).reshape(-1, _NUMBERS) for row in rows[:, 0]]
    objects = np.concatenate(found) if found else np.zeros((0, _NUMBERS))
    outside = np.flatnonzero((objects[:, _LABEL] < 0) | (objects[:, _LABEL] >= len(class_names)))
    if len(outside):
        raise DataError(
            f"Invalid labels of tfds:{name}: {len(outside)} of {len(objects)} objects have no class, the first "
            f"{objects[outside[0], _LABEL]:.0f}, expected 0 to {len(class_names) - 1}. Prepare the data set again."
        )
    image = np.repeat(np.arange(len(found)), [len(row) for row in found])
    sizes = source_sizes(images)
    height, width = sizes[image].T
    boxes = objects[:, [1, 0, 3, 2]] * np.stack([width, height, width, height], axis=1)
    if _is_voc(builders[0]):
        boxes = voc_boxes(boxes.round(_DECIMALS))
    marked = MarkedObjects(
        image=image,
        labels=objects[:, _LABEL].astype(np.int64),
        boxes=boxes,
        difficult=objects[:, _DIFFICULT] > 0,
        crowd=objects[:, _CROWD] > 0,
        areas=objects[:, _AREA],
        masks=None,
    )
    image_ids = _image_ids(features, rows[:, 1].tolist(), numbers)
    return cleaned(images, marked, sizes=sizes, class_names=class_names, image_ids=image_ids)


def has_tfds_objects(name: str, data_dir: str | None = None) -> bool:
    """Returns whether the images of a data set have objects with boxes, by its features; see `tfds_objects`.

    Raises:
        DataError: There is no such data set.
    """
    features = prepared_builder(_names(name)[0], data_dir or os.environ.get("TFDS_DATA_DIR")).info.features
    try:
        return bool(_class_names(features, name))
    except DataError:
        return False


def _readable(source: RecordSource, numbers: np.ndarray) -> Source:
    """Returns the images whose records could be parsed."""
    if len(numbers) == source.size:
        return source
    lost = source.identify(int(np.setdiff1d(np.arange(source.size), numbers)[0]))
    count = source.size - len(numbers)
    _LOG.warning("%d of %d records of %s cannot be read, e.g. %s: left out.", count, source.size, source.name, lost)
    return PartOfSource(source, numbers)


def _names(name: str) -> list[str]:
    """Returns the data sets of "voc/2007+2012" or "voc/2007+voc/2012"."""
    first, *others = name.split("+")
    kind = first.partition("/")[0]
    return [first, *(other if "/" in other else f"{kind}/{other}" for other in others)]


def _is_voc(builder: Any) -> bool:
    """Returns whether the boxes count pixels from 1, the last one included."""
    return builder.name == _VOC


def _class_names(features: Any, name: str) -> tuple[str, ...]:
    import tensorflow_datasets as tfds

    inner: Any = getattr(features["objects"], "feature", None) if "objects" in features else None
    has_boxes = isinstance(inner, tfds.features.FeaturesDict) and {"bbox", "label"} <= set(inner)
    if not has_boxes or "image" not in features:
        raise DataError(
            f"Invalid data tfds:{name}: received features {', '.join(features)}, expected image, objects/bbox and "
            "objects/label, as in voc/2007 and coco/2017. Give such a data set."
        )
    return tuple(inner["label"].names)


def _parts(builders: Sequence[Any], name: str) -> dict[str, list[tuple[Any, str]]]:
    """Returns the data sets and their splits of which each of our splits is made."""
    tests = [builder for builder in builders if _TEST in builder.info.splits and _has_objects(builder, name)]
    trains = (_TRAIN, _VALIDATION) if tests else (_TRAIN,)
    train = [(builder, split) for builder in builders for split in trains if split in builder.info.splits]
    if tests:
        return {"train": train, "test": [(tests[0], _TEST)]}
    return {
        "train": train,
        "test": [(builder, _VALIDATION) for builder in builders if _VALIDATION in builder.info.splits],
    }


def _has_objects(builder: Any, name: str) -> bool:
    """Returns whether the first test images have objects."""
    source = _source([(builder, _TEST)], name, _TEST)
    _, rows = source.parse_readable(np.arange(min(source.size, _LOOKED_AT)), _parser(builder.info.features))
    return any(len(row) for row in rows[:, 0]) if len(rows) else False


def _source(parts: Sequence[tuple[Any, str]], name: str, split: str) -> RecordSource:
    import tensorflow_datasets as tfds

    builder = parts[0][0]
    files = [os.fspath(path) for one, known in parts for path in one.info.splits[known].filepaths]
    read_record, locate, size = record_storage(files, builder.info.file_format.value, f"tfds:{name}")
    return RecordSource(
        name=f"tfds:{name} {split}",
        files=files,
        size=size,
        read_record=read_record,
        locate=locate,
        image_of=feature_parser(builder.info.features, "image", tfds.decode.SkipDecoding()),
        label_of=None,
        class_names=lambda source: None,
    )


def _parser(features: Any) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from a serialized example to the numbers of its objects and its id, string [2]."""
    import tensorflow_datasets as tfds

    inner = features["objects"].feature
    numbers = [key for key in ("is_difficult", "is_crowd", "area") if key in inner]
    identity = _identity(features)
    wanted = {"objects": dict.fromkeys(("bbox", "label", *numbers), True), **({identity: True} if identity else {})}
    alone = tfds.decode.PartialDecoding(wanted).extract_features(features)

    def parsed(serialized: tf.Tensor) -> tf.Tensor:
        example = alone.deserialize_example(serialized)
        objects = example["objects"]
        label = tf.cast(objects["label"], tf.float64)

        def column(key: str, default: float) -> tf.Tensor:
            return tf.cast(objects[key], tf.float64) if key in numbers else tf.zeros_like(label) + default

        rest = [label, column("is_difficult", 0), column("is_crowd", 0), column("area", np.nan)]
        rows = tf.concat([tf.cast(objects["bbox"], tf.float64), tf.stack(rest, axis=1)], axis=1)
        row = tf.numpy_function(lambda values: np.ascontiguousarray(values).tobytes(), [rows], tf.string)
        named = tf.strings.as_string(example[identity]) if identity else tf.constant("")
        return tf.stack([tf.ensure_shape(row, []), named])

    return parsed


def _identity(features: Any) -> str | None:
    return next((key for key in ("image/id", "image/filename") if key in features), None)


def _image_ids(features: Any, texts: Sequence[bytes], numbers: np.ndarray) -> tuple[str | int, ...]:
    """Returns COCO's ids, else the names without endings, else the numbers of the images."""
    identity = _identity(features)
    if identity is None:
        return tuple(numbers.tolist())
    if identity == "image/id" and all(text.isdigit() for text in texts):
        return tuple(int(text) for text in texts)
    return tuple(os.path.splitext(text.decode("utf-8", "surrogateescape"))[0] for text in texts)
