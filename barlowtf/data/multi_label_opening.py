"""From the text that a user gives to images that may show several classes at once."""

from pathlib import Path

from barlowtf.data.label_table import has_label_table, label_table
from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.voc_folder import find_voc_folder, voc_folder
from barlowtf.data.voc_tfds import voc_tfds
from barlowtf.errors import DataError

MULTI_LABEL_FORMS = (
    "a folder that holds VOC2007, tfds:voc/2007, or a folder with train/, test/ and beside them train.csv and test.csv "
    "(file,CLASS1,CLASS2,...)"
)


def open_multi_label(spec: str, split: str) -> MultiLabelSet:
    """Returns the images and targets that a text names.

    Args:
        spec: A VOCdevkit folder, or the VOC2007 in it | `tfds:NAME[/CONFIG][:VERSION]` | a folder with tables, see
            `barlowtf.data.label_table`.
        split: "train" (VOC: trainval) or "test".

    Raises:
        ValueError: Unknown split.
        DataError: No such data set, or it cannot be used.
    """
    if split not in ("train", "test"):
        raise ValueError(f'split does not fit. Received {split!r}. Expected "train" or "test".')
    if spec.startswith("tfds:") and spec != "tfds:":
        return voc_tfds(spec.removeprefix("tfds:"), split)
    folder = Path(spec).expanduser()
    if not spec or not folder.is_dir():
        raise DataError(f"Cannot read images with several classes from {spec!r}. Expected {MULTI_LABEL_FORMS}.")
    voc = find_voc_folder(folder)
    if voc is not None:
        return voc_folder(voc, split)
    if has_label_table(folder):
        return label_table(folder, split)
    raise DataError(f"{folder} holds no lists of classes. Expected {MULTI_LABEL_FORMS}.")
