"""A folder as model hubs hold it: timm, transformers and KerasHub load it by its name.

::

    model.safetensors          the weights, under timm's names
    config.json                which model of timm they belong to, and how images are prepared
    preprocessor_config.json   the latter for transformers
    README.md                  the model card

Source: timm models/_hub.py, load_model_config_from_path; transformers models/timm_wrapper; KerasHub utils/timm.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from pydantic import Field

from barlowtf import augment
from barlowtf.atomic import write_file
from barlowtf.config.section import Section
from barlowtf.convert import write_tensors
from barlowtf.convert.timm_state import assign_timm_state, timm_state
from barlowtf.data import short_side
from barlowtf.errors import ConversionError, ExportError
from barlowtf.export.about import publishable_recipe
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.format import Format, Material, Replayed, write_class_names
from barlowtf.export.network import Parts
from barlowtf.export.texts import render
from barlowtf.models import extract_features
from barlowtf.models.timm_model import TimmModel
from barlowtf.printable import markdown_cell
from barlowtf.records import FileFigures

WEIGHTS = "model.safetensors"
# Channels -> mode of Pillow's images; those of other channels are no pictures.
_PICTURES = {1: "L", 3: "RGB"}
_CLASSES_SHOWN = 1000
# Pillow's number of bilinear resizing.
_BILINEAR = 2


class HubSettings(Section):
    """What a hub folder says beside what is known."""

    license: str = Field(
        "unknown", pattern=r"^[a-z0-9][a-z0-9.+-]*$", description="license of the weights, as hubs write it: apache-2.0"
    )


def timm_model_of(parts: Parts) -> TimmModel:
    """Returns the model of timm that gives the features of what is exported.

    Raises:
        ExportError: timm has none.
    """
    kind = parts.family
    advice = "Choose --format torch, onnx or keras."
    if kind is None or kind.timm is None:
        raise ExportError(f"The encoder {parts.encoder.name} has no counterpart in timm. {advice}")
    try:
        return kind.timm(parts.encoder, parts.size)
    except ValueError as error:
        raise ExportError(f"The encoder {parts.encoder.name} has no counterpart in timm: {error}. {advice}") from error


def hub_config(parts: Parts) -> dict[str, Any]:
    """Returns the content of config.json."""
    model = timm_model_of(parts)
    classes = 0 if parts.class_names is None else len(parts.class_names)
    return {
        "architecture": model.architecture,
        "num_classes": classes,
        "num_features": int(parts.encoder.output_shape[-1]),
        "global_pool": "avg",
        **({"model_args": dict(model.arguments)} if model.arguments else {}),
        **({} if parts.class_names is None else {"label_names": list(parts.class_names)}),
        "pretrained_cfg": {
            "input_size": [parts.channels, parts.size, parts.size],
            "fixed_input_size": "img_size" in model.arguments,
            "interpolation": "bilinear",
            "crop_pct": _crop_share(parts.size),
            "crop_mode": "center",
            "mean": list(parts.mean),
            "std": list(parts.std),
            "num_classes": classes,
            "classifier": model.classifier,
        },
    }


def preprocessor_config(parts: Parts) -> dict[str, Any]:
    """Returns the content of preprocessor_config.json."""
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": parts.channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": short_side(parts.size)},
        "resample": _BILINEAR,
        "do_center_crop": True,
        "crop_size": {"height": parts.size, "width": parts.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(parts.mean),
        "image_std": list(parts.std),
    }


def _crop_share(size: int) -> float:
    """Returns the share of the short side that the center view shows, by which timm finds that side: it rounds down."""
    short = short_side(size)
    share = size / short
    return share if math.floor(size / share) == short else math.nextafter(share, 0.0)


def model_card(material: Material) -> str:
    """Returns the content of README.md."""
    about, parts = material.about, material.parts
    model = timm_model_of(parts)
    return render(
        "model_card.md.j2",
        name=material.name,
        about=about,
        cell=markdown_cell,
        class_names=[markdown_cell(name) for name in (parts.class_names or ())[:_CLASSES_SHOWN]],
        mode=_PICTURES.get(parts.channels),
        shape=(1, parts.channels, parts.size, parts.size),
        parts=parts,
        model=model,
        license=material.settings.license,
        short=short_side(parts.size),
        recipe=None if about.recipe is None else publishable_recipe(about.recipe),
    )


def _check(material: Material) -> None:
    timm_model_of(material.parts)


def _write(material: Material, folder: Path) -> dict[str, str]:
    parts = material.parts
    write_tensors(folder / WEIGHTS, timm_state(timm_model_of(parts), parts.head))
    for name, content in (("config.json", hub_config(parts)), ("preprocessor_config.json", preprocessor_config(parts))):
        write_file(folder / name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    write_class_names(parts, folder)
    return {WEIGHTS: "float32"}


def _describe(material: Material, folder: Path, figures: Mapping[str, FileFigures]) -> None:
    write_file(folder / "README.md", model_card(material))


def read_hub(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the tensors of the folder by name; runs in a fresh process."""
    import safetensors.numpy

    return dict(safetensors.numpy.load_file(path))


def _compare(replayed: Replayed) -> dict[str, Any]:
    """Returns the figures of a file whose tensors make an encoder and a head again, in the precision of the source."""
    parts = replayed.parts
    copy = keras.models.clone_model(parts.encoder)
    model = timm_model_of(replace(parts, encoder=copy))
    try:
        assign_timm_state(model, replayed.found)
    except ConversionError as error:
        raise ExportError(f"{replayed.path.name} does not read back: {error} Nothing was written.") from error
    images = [augment.normalize(tf.cast(replayed.views, tf.float32) / 255.0, parts.mean, parts.std)]
    expected, found = ({"features": extract_features(encoder, images)} for encoder in (parts.encoder, copy))
    if parts.head is not None:
        kernel, bias = (replayed.found[f"{model.classifier}.{part}"] for part in ("weight", "bias"))
        expected["logits"] = np.asarray(parts.head(expected["features"]))
        found["logits"] = found["features"] @ kernel.T + bias
        for outputs in (expected, found):
            outputs["probabilities"] = np.asarray(tf.nn.softmax(outputs["logits"]))
    return compare_outputs(expected, found, replayed.labels)


HUB = Format(
    files=(WEIGHTS,),
    write=_write,
    read=read_hub,
    compare=_compare,
    describe=_describe,
    check=_check,
    settings=HubSettings,
    packages=("safetensors",),
    extra="hub",
)
