"""A picture of some test images: what was found in them, and what there is."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from barlowtf import detection
from barlowtf.data import ObjectSet, Rendering
from barlowtf.data.images import decode
from barlowtf.detection import Detections
from barlowtf.printable import printable

# Least score of a detection that is drawn.
SHOWN_SCORE = 0.5
_MOST_IMAGES, _COLUMNS = 16, 4
# Largest side of an image, distance between images, and sizes of letters, pixels.
_CELL, _GAP, _LETTERS, _LEGEND_LETTERS = 400, 8, 12, 16
_LONGEST_NAME = 24
_MASK_OPACITY = 110
_BACKGROUND, _INK = (24, 24, 27), (240, 240, 240)
# Of classes beyond the last color the first ones again. All are light enough for black letters.
_COLORS = (
    (255, 176, 0),
    (100, 190, 255),
    (255, 120, 150),
    (80, 220, 140),
    (210, 150, 255),
    (255, 235, 80),
    (90, 230, 230),
    (255, 140, 80),
    (180, 220, 90),
    (255, 160, 240),
    (170, 180, 255),
    (210, 180, 140),
)
_Box = tuple[float, float, float, float]


def sheet_of(images: ObjectSet, detections: Detections, *, channels: int, rendering: Rendering) -> bytes:
    """Returns a JPEG of up to 16 test images, spread evenly, with the detections of a score of 0.5 and more.

    Boxes have a color for each class, and its name and the score; masks are half-transparent areas. Thin white outlines
    are the objects that there are. A label that would cover another one is left out.

    Args:
        images: The test images and their objects.
        detections: What was found; boxes and masks in pixels of the images.
        channels: Channels of the images; of another number than 1 and 3 the first is shown.
        rendering: How they are decoded.

    Raises:
        tf.errors.OpError: An image cannot be read.
    """
    count = min(images.size, _MOST_IMAGES)
    numbers = np.linspace(0, images.size - 1, count).round().astype(int).tolist()
    shown = [_image(images, detections, number, channels, rendering) for number in numbers]
    columns, rows = min(count, _COLUMNS), -(-count // _COLUMNS)
    heights = [max(image.height for image in shown[row * columns : (row + 1) * columns]) for row in range(rows)]
    width = _GAP + columns * (_CELL + _GAP)
    drawn = np.isin(detections.image, numbers) & (detections.scores >= SHOWN_SCORE)
    legend = _legend(images, sorted(set(detections.category[drawn].tolist())), width)
    sheet = Image.new("RGB", (width, _GAP + sum(heights) + rows * _GAP + legend.height), _BACKGROUND)
    for place, image in enumerate(shown):
        row, column = divmod(place, columns)
        left = _GAP + column * (_CELL + _GAP) + (_CELL - image.width) // 2
        top = _GAP + sum(heights[:row]) + row * _GAP + (heights[row] - image.height) // 2
        sheet.paste(image, (left, top))
    sheet.paste(legend, (0, sheet.height - legend.height))
    buffer = io.BytesIO()
    # Without subsampling of colors, which blurs thin lines.
    sheet.save(buffer, "JPEG", quality=88, subsampling=0)
    return buffer.getvalue()


def _image(images: ObjectSet, detections: Detections, number: int, channels: int, rendering: Rendering) -> Image.Image:
    """Returns an image with its objects and detections."""
    whole = _eight_bits(decode(images.source.read(tf.constant(number, tf.int64)), channels, rendering).numpy())
    scale = _CELL / max(whole.size)
    size = (max(round(whole.width * scale), 1), max(round(whole.height * scale), 1))
    image = whole.resize(size, Image.Resampling.BICUBIC)
    found = np.flatnonzero((detections.image == number) & (detections.scores >= SHOWN_SCORE))
    # The highest score lies on top.
    found = found[np.argsort(detections.scores[found], kind="stable")]
    if detections.masks is not None:
        for place in found.tolist():
            _lay_mask(image, detection.decode_runs(detections.masks[place]), _color(detections.category[place]))
    draw = ImageDraw.Draw(image, "RGBA")
    for truth in images.objects[number].boxes:
        box = _scaled(truth, scale, image)
        # A dark line around the white one shows it on light images.
        draw.rectangle(box, outline=(0, 0, 0, 150), width=3)
        draw.rectangle((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1), outline=(255, 255, 255, 255), width=1)
    boxes = [_scaled(detections.boxes[place], scale, image) for place in found.tolist()]
    for place, box in zip(found.tolist(), boxes, strict=True):
        draw.rectangle(box, outline=(*_color(detections.category[place]), 255), width=2)
    taken: list[_Box] = []
    for place, box in reversed(list(zip(found.tolist(), boxes, strict=True))):
        label = int(detections.category[place])
        text = f"{_name(images, label)} {detections.scores[place]:.2f}"
        _write(draw, text, box, image.size, taken, _color(label))
    return image


def _eight_bits(pixels: np.ndarray) -> Image.Image:
    pixels = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
    return Image.fromarray(pixels if pixels.shape[-1] == 3 else pixels[..., 0]).convert("RGB")


def _lay_mask(image: Image.Image, bits: np.ndarray, color: tuple[int, int, int]) -> None:
    opacity = Image.fromarray(bits.astype(np.uint8) * _MASK_OPACITY).resize(image.size, Image.Resampling.BILINEAR)
    image.paste(Image.new("RGB", image.size, color), mask=opacity)


def _scaled(box: np.ndarray, scale: float, image: Image.Image) -> _Box:
    """Returns a box in pixels of the sheet, inside the image and at least 2 pixels wide and high."""
    x1, y1, x2, y2 = (float(edge) * scale for edge in box)
    x1, y1 = min(max(x1, 0.0), image.width - 3.0), min(max(y1, 0.0), image.height - 3.0)
    return x1, y1, min(max(x2, x1 + 2.0), image.width - 1.0), min(max(y2, y1 + 2.0), image.height - 1.0)


def _write(
    draw: ImageDraw.ImageDraw, text: str, box: _Box, size: tuple[int, int], taken: list[_Box], color: tuple[int, ...]
) -> None:
    """Writes a label above a box, inside or below it, where the border and the other labels leave room."""
    font = ImageFont.load_default(_LETTERS)
    width, height = draw.textlength(text, font=font) + 6, _LETTERS + 4.0
    lefts = (min(max(left, 0.0), max(size[0] - width - 1, 0.0)) for left in (box[0], box[2] - width))
    tops = (box[1] - height, box[1] + 1, box[3], box[3] - height - 1)
    places = [
        (left, top, left + width, top + height) for left in lefts for top in tops if 0 <= top <= size[1] - height - 1
    ]
    place = next((one for one in places if not any(_overlap(one, other) for other in taken)), None)
    if place is None:
        return
    taken.append(place)
    draw.rectangle(place, fill=(*color, 230))
    draw.text((place[0] + 3, place[1] + height / 2), text, fill=(0, 0, 0, 255), font=font, anchor="lm")


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _legend(images: ObjectSet, labels: list[int], width: int) -> Image.Image:
    """Returns the lines that say what is what."""
    font = ImageFont.load_default(_LEGEND_LETTERS)
    entries = [("white: annotated", (255, 255, 255))]
    entries += [(_name(images, label), _color(label)) for label in labels]
    entries += [] if labels else [(f"no detection of a score of {SHOWN_SCORE:g} or more", _BACKGROUND)]
    line, places, x, y = _LEGEND_LETTERS + 12, [], _GAP, 0
    for text, _ in entries:
        needed = round(font.getlength(text)) + line + 16
        if x > _GAP and x + needed > width:
            x, y = _GAP, y + line
        places.append((x, y))
        x += needed
    legend = Image.new("RGB", (width, y + line + _GAP), _BACKGROUND)
    draw = ImageDraw.Draw(legend)
    for (text, color), (left, top) in zip(entries, places, strict=True):
        draw.rectangle((left, top + 6, left + _LEGEND_LETTERS, top + 6 + _LEGEND_LETTERS), fill=color)
        draw.text((left + line, top + line / 2), text, fill=_INK, font=font, anchor="lm")
    return legend


def _name(images: ObjectSet, label: int) -> str:
    name = printable(images.class_names[label], keep="")
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _color(label: int) -> tuple[int, int, int]:
    return _COLORS[int(label) % len(_COLORS)]
