"""How each format is written: from parts to files in a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from barlowtf.data import center_view
from barlowtf.errors import ExportError
from barlowtf.export import (
    VARIANTS,
    Parts,
    convert_litert,
    write_keras,
    write_onnx,
    write_saved_model,
)
from barlowtf.export.serving import serving_readme
from barlowtf.export.warmup import warmup_requests, write_warmup

CLASS_NAMES_FILE = "class_names.txt"
# Rows of the requests that a server runs before it offers a version: the least, and some.
_WARM_UP_ROWS = (1, 8)


@dataclass(frozen=True)
class Material:
    """What the formats are made of.

    Attributes:
        parts: What is exported.
        name: Of the model, as a server calls it.
        encoded: Some images as PNG or JPEG, for a server's warm-up.
        variants: Of tflite; None: all.
        representative: Returns views, uint8 [M, S, S, C], from which a full-integer file takes its ranges.
    """

    parts: Parts
    name: str
    encoded: Sequence[bytes]
    variants: Sequence[str] | None
    representative: Callable[[], np.ndarray]


class Format(NamedTuple):
    """A format.

    Attributes:
        write: Fills the folder of a version; returns the files to compare, each with its precision, a key of
            `LEAST_AGREEMENT`.
        packages: What must be installed.
        extra: The extra of barlowtf that installs them.
    """

    write: Callable[[Material, Path], Mapping[str, str]]
    packages: tuple[str, ...] = ()
    extra: str = ""

    def require_installed(self, name: str) -> None:
        """Raises ExportError where a package is missing."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            raise ExportError(
                f"The format {name} needs {', '.join(missing)}, which is not installed. "
                f"Run: pip install 'barlowtf[{self.extra}]'"
            )


def _saved_model(material: Material, folder: Path) -> dict[str, str]:
    parts = material.parts
    signatures = write_saved_model(parts, folder)
    readme = serving_readme(
        name=material.name,
        image_size=parts.size,
        channels=parts.channels,
        signatures=signatures,
        class_names=parts.class_names,
    )
    (folder / "README.txt").write_text(readme, encoding="utf-8")
    examples = {name: _example(material, name) for name in signatures}
    write_warmup(folder, warmup_requests(material.name, examples, batch_sizes=_WARM_UP_ROWS))
    return {".": "float32"}


def _example(material: Material, signature: str) -> dict[str, np.ndarray]:
    """Returns the inputs of a warm-up request: real images, as users send them."""
    images = [tf.io.decode_png(content) for content in material.encoded]
    if signature == "from_jpeg":
        return {"encoded": np.array([tf.io.encode_jpeg(image).numpy() for image in images], object)}
    if signature == "float_images":
        views = [center_view(image, material.parts.size).numpy() for image in images]
        return {"images": np.stack(views).astype(np.float32) / 255.0}
    # The images of one request are of one size.
    return {"images": images[0].numpy()[None]}


def _litert(material: Material, folder: Path) -> dict[str, str]:
    variants = tuple(material.variants or VARIANTS)
    images = material.representative() if "int8" in variants else None
    contents = convert_litert(material.parts, variants, images)
    for variant, content in contents.items():
        (folder / f"{variant}.tflite").write_bytes(content)
    _write_class_names(material.parts, folder)
    return {f"{variant}.tflite": variant for variant in contents}


def _keras(material: Material, folder: Path) -> dict[str, str]:
    write_keras(material.parts, folder / "model.keras")
    _write_class_names(material.parts, folder)
    return {"model.keras": "float32"}


def _onnx(material: Material, folder: Path) -> dict[str, str]:
    write_onnx(material.parts, folder / "model.onnx")
    _write_class_names(material.parts, folder)
    return {"model.onnx": "float32"}


def _torch(material: Material, folder: Path) -> dict[str, str]:
    from barlowtf.convert import state_dict_of, write_tensors

    parts = material.parts
    write_tensors(folder / "model.pth", state_dict_of(parts.encoder, head=parts.head))
    _write_class_names(parts, folder)
    return {"model.pth": "float32"}


def _write_class_names(parts: Parts, folder: Path) -> None:
    if parts.class_names is not None:
        (folder / CLASS_NAMES_FILE).write_text("".join(f"{name}\n" for name in parts.class_names), encoding="utf-8")


FORMATS = {
    "saved-model": Format(_saved_model),
    "tflite": Format(_litert, ("ai_edge_litert",), "litert"),
    "keras": Format(_keras),
    "onnx": Format(_onnx, ("tf2onnx", "onnx", "onnxruntime"), "onnx"),
    "torch": Format(_torch, ("torch",), "torch"),
}
