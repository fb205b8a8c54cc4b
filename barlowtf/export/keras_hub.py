"""A folder from which KerasHub makes a `ResNetBackbone`, for its detectors, segmenters and classifiers.

::

    config.json            arguments of the backbone: the same ResNet without its pooling
    model.weights.h5       its weights, as Keras stores those of a model
    image_converter.json   size and normalization of images of 8 bits
    metadata.json          number of parameters, version of Keras

Source: KerasHub 0.32, models/resnet/resnet_backbone.py, utils/preset_utils.py.
"""

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from barlowtf.atomic import write_file
from barlowtf.errors import ExportError
from barlowtf.export.format import Format, Material
from barlowtf.export.network import Parts
from barlowtf.export.plain import plain_encoder
from barlowtf.export.replay import in_batches, milliseconds
from barlowtf.models.resnet import RESNET, RESNETS, basic_block, parse_resnet
from barlowtf.models.stems import stem_of

# KerasHub has no other first layers and no other width.
_STEM, _BASE = "imagenet", 64
_FLOAT32 = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "float32"}, "registered_name": None}


def backbone_arguments(parts: Parts) -> dict[str, Any]:
    """Returns the arguments of `keras_hub.models.ResNetBackbone` that make the same ResNet.

    Raises:
        ExportError: None do.
    """
    refusal = f"The encoder {parts.encoder.name} has no counterpart in KerasHub"
    advice = "Choose --format onnx or keras."
    if parts.family is not RESNET:
        raise ExportError(f"{refusal}: expected a ResNet. {advice}")
    try:
        stem = stem_of(parts.encoder)
    except ValueError as error:
        raise ExportError(f"{refusal}. {error} {advice}") from error
    depth, base = parse_resnet(parts.encoder.name)
    if (stem, base) != (_STEM, _BASE):
        raise ExportError(
            f'{refusal}: received the stem "{stem}" and {base} channels in the first stage, expected "{_STEM}" and '
            f"{_BASE}. {advice}"
        )
    block, counts = RESNETS[depth]
    return {
        "input_conv_filters": [base],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [base * 2**stage for stage in range(len(counts))],
        "stackwise_num_blocks": list(counts),
        "stackwise_num_strides": [1, *(2 for _ in counts[1:])],
        "block_type": "basic_block" if block is basic_block else "bottleneck_block",
        "use_pre_activation": False,
        # Of any size: a detector takes larger images than the encoder was trained on.
        "image_shape": [None, None, parts.channels],
    }


def converter_arguments(parts: Parts) -> dict[str, Any]:
    """Returns the arguments of `keras_hub.layers.ResNetImageConverter`: values in [0, 255] -> normalized images."""
    return {
        "image_size": [parts.size, parts.size],
        "scale": [1 / (255 * std) for std in parts.std],
        "offset": [-mean / std for mean, std in zip(parts.mean, parts.std, strict=True)],
        "interpolation": "bilinear",
        "antialias": True,
        "crop_to_aspect_ratio": True,
    }


def ordered_encoder(encoder: keras.Model) -> keras.Model:
    """Returns a copy of a ResNet in Keras' own layers, float32, with its layers in the order of KerasHub's.

    A file of weights counts the layers of each class in the order of the model, which puts what the first operand of a
    sum comes from first: here a block's shortcut before its last convolution.
    """
    plain = plain_encoder(encoder)

    def call(layer: Any, operands: Any, **named: Any) -> Any:
        return layer(operands[::-1] if isinstance(layer, keras.layers.Add) else operands, **named)

    copy = keras.models.clone_model(plain, call_function=call)
    for layer in plain.layers:
        copy.get_layer(layer.name).set_weights(layer.get_weights())
    return copy


def _check(material: Material) -> None:
    backbone_arguments(material.parts)
    if material.parts.head is not None:
        raise ExportError(
            "Invalid --head: received a classifier for the format keras-hub, expected none: a backbone has no classes. "
            "Leave out --head."
        )


def _write(material: Material, folder: Path) -> dict[str, str]:
    parts = material.parts
    encoder = ordered_encoder(parts.encoder)
    encoder.save_weights(folder / "model.weights.h5")
    place, name = "keras_hub.src.models.resnet.resnet_", parts.encoder.name
    contents = {
        "config.json": _serialized(f"{place}backbone", "ResNetBackbone", name, backbone_arguments(parts)),
        "image_converter.json": _serialized(
            f"{place}image_converter", "ResNetImageConverter", f"{name}_images", converter_arguments(parts)
        ),
        "metadata.json": {
            "keras_version": keras.__version__,
            "parameter_count": encoder.count_params(),
            "tasks": ["ImageClassifier"],
        },
    }
    for file, content in contents.items():
        write_file(folder / file, json.dumps(content, indent=2) + "\n")
    return {".": "float32"}


def _serialized(module: str, class_name: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Returns an object of KerasHub as `keras.saving.serialize_keras_object` writes it."""
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": name, "trainable": True, "dtype": _FLOAT32, **arguments},
        "registered_name": f"keras_hub>{class_name}",
    }


def read_keras_hub(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns the features of a preset, which KerasHub makes of images as they are; runs in a fresh process."""
    import keras_hub

    backbone = keras_hub.models.Backbone.from_preset(path)
    converter = keras_hub.layers.ImageConverter.from_preset(path)
    views = inputs["views"]

    def run(rows: slice) -> dict[str, np.ndarray]:
        return {"features": backbone.predict_on_batch(np.asarray(converter(views[rows]))).mean(axis=(1, 2))}

    return in_batches(run, len(views)) | milliseconds(lambda: run(slice(1)))


KERAS_HUB = Format(
    files=("model.weights.h5",),
    write=_write,
    read=read_keras_hub,
    check=_check,
    packages=("keras_hub",),
    extra="keras-hub",
)
