"""From the text that a user gives to a data set."""

from pathlib import Path

from barlowtf.data.digits import digits_source
from barlowtf.data.folder import folder_source
from barlowtf.data.source import Source
from barlowtf.data.tfds import tfds_source
from barlowtf.data.tfrecord import tfrecord_source
from barlowtf.errors import DataError

FORMS = "digits, a folder of images, tfds:NAME[/CONFIG][:VERSION] or tfrecord:GLOB"


def open_source(spec: str, split: str) -> Source | None:
    """Returns the data set that a text names.

    Args:
        spec: `digits` | a folder | `tfds:NAME[/CONFIG][:VERSION]` | `tfrecord:GLOB`.
        split: "train" or "test".

    Returns:
        The split; None for "test" when the data set has no test split.

    Raises:
        ValueError: Unknown split.
        DataError: No such data set, or it cannot be used.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split does not fit. Received {split!r}. Expected "train" or "test".')
    kind, colon, rest = spec.partition(":")
    if spec == "digits":
        return digits_source(split)
    if colon and kind == "tfds" and rest:
        return tfds_source(rest, split)
    if colon and kind == "tfrecord" and rest:
        return tfrecord_source(rest, split)
    folder = Path(spec).expanduser()
    if not spec or (colon and not folder.exists()):
        raise DataError(f"Cannot read the data set {spec!r}. Expected {FORMS}.")
    return folder_source(folder, split)
