"""Pictures inside the page: data URIs, sprites of thumbnails, and those that TensorBoard's event files hold."""

import base64
import hashlib
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from barlowtf.regular import require_regular

# Thumbnails as they are kept, and as a sprite of many holds them; pixels.
THUMBNAIL = 96
_SPRITE_CELL = 40
_SPRITE_BYTES = 900_000
_SPRITE_QUALITIES = (88, 78, 65, 50, 35)
# JPEG works on blocks of 8 pixels: images that begin on one do not run into their neighbors.
_BLOCK = 8
# A PNG above this becomes a JPEG of this width at most.
_PICTURE_BYTES = 150_000
_PICTURE_WIDTH = 1024
# Of the picture of test images that a measurement has left, pixels.
_SHEET_WIDTH = 1640
# Longer side of a thumbnail that stands by itself, pixels; smaller images stay as they are.
_SHOWN_SIDE = 160


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Sprite:
    """Many thumbnails in one picture; number i lies in row i // columns, column i % columns.

    Attributes:
        name: Equal for equal sprites: a page holds each once.
        picture: All of them.
        columns: Thumbnails in a row.
        cell: Distance from one to the next, pixels.
        size: Height and width of a thumbnail, pixels, <= `cell`.
    """

    name: str
    picture: Picture
    columns: int
    cell: int
    size: int


def shrink(images: np.ndarray, size: int = THUMBNAIL) -> np.ndarray:
    """Returns thumbnails, uint8 [n, s, s, 1 or 3] with s = min(S, size).

    Args:
        images: uint8 [n, S, S, C]; of another number of channels than 1 and 3 the first is shown.
        size: Largest height and width of a thumbnail, pixels.
    """
    images = images if images.shape[-1] in (1, 3) else images[..., :1]
    if images.shape[1] <= size or not len(images):
        return images
    channels = images.shape[-1]
    small = [np.asarray(_to_image(image).resize((size, size), Image.Resampling.BOX)) for image in images]
    return np.stack(small).reshape(len(images), size, size, channels)


def make_sprite(thumbnails: np.ndarray, size: int = _SPRITE_CELL) -> Sprite:
    """Returns all thumbnails, uint8 [n, S, S, 1 or 3], as one JPEG of about 0.9 MB at most."""
    thumbnails = shrink(thumbnails, size)
    side = thumbnails.shape[1]
    cell = math.ceil(side / _BLOCK) * _BLOCK
    image, columns = tiled(np.pad(thumbnails, [(0, 0), (0, cell - side), (0, cell - side), (0, 0)], mode="edge"))
    for quality in _SPRITE_QUALITIES:
        content = _encoded(image, "JPEG", quality=quality, subsampling=0)
        if len(content) <= _SPRITE_BYTES:
            break
    name = hashlib.sha256(content).hexdigest()[:12]
    return Sprite(name, Picture(_uri(content, "jpeg"), *image.size), columns, cell, side)


def tiled(images: np.ndarray) -> tuple[Image.Image, int]:
    """Returns images, uint8 [n, S, S, 1 or 3], row by row in one square picture, and how many are in a row."""
    count, side, _, channels = images.shape
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    filled = np.pad(images, [(0, rows * columns - count), (0, 0), (0, 0), (0, 0)], mode="edge")
    # [rows * columns, S, S, C] -> [rows * S, columns * S, C]
    sheet = filled.reshape(rows, columns, side, side, channels).swapaxes(1, 2)
    return _to_image(sheet.reshape(rows * side, columns * side, channels)), columns


def png_picture(array: np.ndarray) -> Picture:
    """Returns uint8 [H, W, 1 or 3] as a PNG."""
    image = _to_image(array)
    return Picture(_uri(_encoded(image, "PNG", optimize=True), "png"), *image.size)


def thumbnail(image: np.ndarray) -> Picture:
    """Returns an image as a small picture of its own shape, a JPEG; a PNG where it is small already.

    Args:
        image: uint8 or uint16 [H, W, C]; of another number of channels than 1 and 3 the first is shown.
    """
    image = image if image.shape[-1] in (1, 3) else image[..., :1]
    shown = _to_image(image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8))
    if max(shown.size) <= _SHOWN_SIDE:
        return Picture(_uri(_encoded(shown, "PNG", optimize=True), "png"), *shown.size)
    shown.thumbnail((_SHOWN_SIDE, _SHOWN_SIDE))
    return Picture(_uri(_encoded(shown, "JPEG", quality=85), "jpeg"), *shown.size)


def sheet_picture(file: Path, folder: Path) -> Picture:
    """Returns the picture of test images that a measurement has left.

    Args:
        file: The picture.
        folder: Where it must lie: a result from elsewhere may name any file.

    Raises:
        OSError: It lies elsewhere, or cannot be read; Pillow raises others over damaged pictures.
    """
    if not file.resolve().is_relative_to(folder.resolve()):
        raise OSError(f"it lies outside {folder}")
    require_regular(file)
    with Image.open(file, formats=("JPEG",)) as image:
        shown = image.convert("RGB")
    shown.thumbnail((_SHEET_WIDTH, shown.height))
    return Picture(_uri(_encoded(shown, "JPEG", quality=85, subsampling=0), "jpeg"), *shown.size)


def event_pictures(folder: Path, tags: tuple[str, ...]) -> dict[str, tuple[int, Picture]]:
    """Returns the last picture of each tag in a folder of event files, with its step; {} where there are none."""
    if not folder.is_dir() or not any(folder.glob("*tfevents*")):
        return {}
    from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={TENSORS: 1})
    events.Reload()
    held = events.Tags()["tensors"]
    pictures = {}
    for tag in tags:
        if tag in held:
            event = events.Tensors(tag)[-1]
            # A summary of images is [width, height, PNG, PNG, ...].
            pictures[tag] = (event.step, _compact(event.tensor_proto.string_val[2]))
    return pictures


def _compact(png: bytes) -> Picture:
    """Returns a PNG as it is, or smaller as a JPEG where it is large."""
    image = Image.open(io.BytesIO(png))
    if len(png) <= _PICTURE_BYTES:
        return Picture(_uri(png, "png"), *image.size)
    image.thumbnail((_PICTURE_WIDTH, _PICTURE_WIDTH))
    return Picture(_uri(_encoded(image, "JPEG", quality=85), "jpeg"), *image.size)


def _to_image(array: np.ndarray) -> Image.Image:
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _encoded(image: Image.Image, form: str, **options: int | bool) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
