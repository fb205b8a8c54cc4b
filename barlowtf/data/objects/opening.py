"""From a SPEC to images with objects."""

from barlowtf.data.objects.annotations import ObjectSet
from barlowtf.data.opening import check_split, find_kind
from barlowtf.errors import DataError
from barlowtf.tables import SOURCES


def open_objects(spec: str, split: str) -> ObjectSet:
    """Returns the images of a data set with the boxes, and where there are some the masks, of their objects.

    Args:
        spec: A SPEC, as in `open_source`, of a kind that has such images: a folder as VOC or COCO have it, or a data
            set of TensorFlow Datasets with objects.
        split: "train" or "test".

    Raises:
        ValueError: Unknown split.
        NoTestSplitError: There are training images alone.
        DataError: There is no such data set, it cannot be used, or its images have no boxes.
    """
    check_split(split)
    try:
        kind, rest = find_kind(spec)
    except DataError as error:
        raise DataError(f"{error} For images with boxes: {_syntax()}.") from error
    if kind.open_objects is None:
        raise DataError(f"Invalid data {spec!r}: its images have no boxes, expected {_syntax()}. Give such a data set.")
    return kind.open_objects(rest, split)


def has_objects(spec: str) -> bool:
    """Returns whether a SPEC names images with boxes, without reading them.

    Raises:
        DataError: There is no such data set, or it cannot be used.
    """
    kind, rest = find_kind(spec)
    return kind.open_objects is not None and (kind.has_objects is None or kind.has_objects(rest))


def _syntax() -> str:
    return ", or ".join(kind.objects_syntax for kind in SOURCES.values() if kind.objects_syntax)
