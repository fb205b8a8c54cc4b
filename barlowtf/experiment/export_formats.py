"""How each format is written: from parts to files in a folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from barlowtf.errors import ExportError
from barlowtf.export import (
    VARIANTS,
    Parts,
    convert_litert,
    write_keras,
    write_onnx,
    write_saved_model,
)

CLASS_NAMES_FILE = "class_names.txt"


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
        write: Fills a folder; returns the files in it, each with its precision, a key of `LEAST_AGREEMENT`.
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
    write_saved_model(material.parts, folder)
    return {".": "float32"}


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
