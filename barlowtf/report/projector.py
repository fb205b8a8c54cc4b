"""The features of some images for TensorBoard's embedding projector, each image beside its point.

Source: the files that its page reads, github.com/tensorflow/tensorboard, plugins/projector.
"""

import errno
from pathlib import Path

import numpy as np

from barlowtf.atomic import whole_files
from barlowtf.printable import printable
from barlowtf.report.contents import EmbeddedImages
from barlowtf.report.pictures import shrink, tiled

_CONFIG, _FEATURES, _LABELS, _PICTURE = "projector_config.pbtxt", "features.tsv", "labels.tsv", "thumbnails.png"
# The page scales the picture into one texture of the browser: 32 rows of 32 images of 64 pixels fill 2048.
_SIDE = 64


def write_projector(folder: Path, images: EmbeddedImages) -> None:
    """Writes four files beside a run's event files, where TensorBoard looks for them; what is there is replaced.

    Args:
        folder: Of the event files; it is made where it is missing.
        images: What to show, at least one.

    Raises:
        OSError: A file cannot be written. The old ones are kept.
    """
    thumbnails = shrink(images.thumbnails, _SIDE)
    side = thumbnails.shape[1]
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a symbolic link, which is never written through", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    names = (_CONFIG, _FEATURES, _LABELS, _PICTURE)
    with whole_files([folder / name for name in names]) as (config, features, labels, picture):
        config.write_text(_config(side), encoding="utf-8")
        np.savetxt(features, images.features, fmt="%.6g", delimiter="\t")
        labels.write_text("".join(f"{line}\n" for line in _lines(images)), encoding="utf-8", errors="replace")
        tiled(thumbnails)[0].save(picture, "PNG")


def _config(side: int) -> str:
    return f"""embeddings {{
  tensor_name: "features"
  tensor_path: "{_FEATURES}"
  metadata_path: "{_LABELS}"
  sprite {{
    image_path: "{_PICTURE}"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


def _lines(images: EmbeddedImages) -> list[str]:
    """Returns what stands at each point: its number, and below a line of names its class."""
    numbers = [str(number) for number in images.ids]
    if images.labels is None:
        return numbers
    classes = [_class_name(images.class_names, int(label)) for label in images.labels]
    return ["class\tnumber", *(f"{name}\t{number}" for name, number in zip(classes, numbers, strict=True))]


def _class_name(names: tuple[str, ...] | None, label: int) -> str:
    # A tab or a line break in a name would end the cell.
    return (
        str(label)
        if names is None or not 0 <= label < len(names)
        else printable(" ".join(names[label].split())) or str(label)
    )
