"""Files of every kind in memory, what other programs show of them, and what the input pipeline makes of them."""

import functools
import io

import numpy as np
import tensorflow as tf
import tifffile
from PIL import Image, ImageOps

from barlowtf.data import Rendering, decode

GENERATOR = np.random.default_rng(0)
COLOR = GENERATOR.integers(0, 256, (9, 14, 3), np.uint8)
GRAY = np.ascontiguousarray(COLOR[..., 0])
RGBA = GENERATOR.integers(0, 256, (9, 14, 4), np.uint8)
DEEP = GENERATOR.integers(0, 65536, (9, 14, 3), np.uint16)
BANDS = GENERATOR.integers(0, 65536, (9, 14, 7), np.uint16)
# Smooth, as photographs are: JPEG and WebP lose little of it.
RAMP = np.stack([*np.meshgrid(np.arange(48) * 5, np.arange(32) * 7, indexing="ij"), np.full((48, 32), 90)], 2)
RAMP = RAMP.astype(np.uint8)
SIXTEEN = Rendering(depth=16)


def saved(image, file_format, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, file_format, **options)
    return buffer.getvalue()


def tiff(pixels, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def shown(content, background="white"):
    """What Pillow shows of a file: RGB, upright, over a background."""
    with Image.open(io.BytesIO(content)) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            over = Image.new("RGB", image.size, background)
            over.paste(image, mask=image.getchannel("A"))
            image = over
        return np.asarray(image.convert("RGB"))


@functools.cache
def decoder(channels, rendering):
    return tf.function(lambda encoded: decode(encoded, channels, rendering), [tf.TensorSpec([], tf.string)])


def in_graph(content, channels=3, rendering=None):
    """As the input pipeline decodes: in a graph."""
    return decoder(channels, rendering or Rendering())(tf.constant(content)).numpy()


def palette(colors=16, **options):
    return Image.fromarray(COLOR).quantize(colors, **options)


def transparent_palette():
    image = palette()
    image.info["transparency"] = 3
    return image


KINDS = {
    "JPEG": saved(RAMP, "JPEG", quality=90),
    "JPEG, gray": saved(RAMP[..., 0], "JPEG"),
    "JPEG, progressive": saved(RAMP, "JPEG", progressive=True),
    "JPEG, 4:4:4": saved(RAMP, "JPEG", subsampling=0),
    "PNG": saved(COLOR, "PNG"),
    "PNG, gray": saved(GRAY, "PNG"),
    "PNG, one bit": saved(Image.fromarray(GRAY).convert("1"), "PNG"),
    "PNG, palette": saved(palette(), "PNG"),
    "PNG, palette, transparent": saved(transparent_palette(), "PNG"),
    "PNG, alpha": saved(RGBA, "PNG"),
    "PNG, gray and alpha": saved(Image.fromarray(RGBA).convert("LA"), "PNG"),
    "PNG, transparent color": saved(COLOR, "PNG", transparency=tuple(COLOR[2, 3].tolist())),
    "PNG, transparent gray": saved(GRAY, "PNG", transparency=int(GRAY[0, 0])),
    "BMP": saved(COLOR, "BMP"),
    "BMP, gray": saved(GRAY, "BMP"),
    "BMP, palette": saved(palette(), "BMP"),
    "BMP, one bit": saved(Image.fromarray(GRAY).convert("1"), "BMP"),
    "BMP, alpha": saved(RGBA, "BMP"),
    "GIF": saved(palette(), "GIF"),
    "GIF, transparent": saved(transparent_palette(), "GIF"),
    "WebP": saved(RAMP, "WEBP", quality=80),
    "WebP, lossless": saved(COLOR, "WEBP", lossless=True),
    "WebP, alpha": saved(RGBA, "WEBP", lossless=True),
    "TIFF": saved(COLOR, "TIFF"),
    "TIFF, LZW": saved(COLOR, "TIFF", compression="tiff_lzw"),
    "TIFF, deflate": saved(COLOR, "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, JPEG": saved(RAMP, "TIFF", compression="jpeg"),
    "TIFF, gray": saved(GRAY, "TIFF"),
    "TIFF, one bit": saved(Image.fromarray(GRAY).convert("1"), "TIFF", compression="group4"),
    "TIFF, palette": saved(palette(), "TIFF"),
    "TIFF, alpha": saved(RGBA, "TIFF"),
    "TIFF, CMYK": saved(Image.fromarray(COLOR).convert("CMYK"), "TIFF"),
    "PPM": saved(COLOR, "PPM"),
}
