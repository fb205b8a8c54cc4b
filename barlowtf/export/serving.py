"""What TensorFlow Serving and its users need around a SavedModel: two configurations and a README of this very model.

::

    NAME/model.config      which versions the server loads; `--model_config_file`
        batching.config    how it joins requests into batches; `--batching_parameters_file`
        1/README.txt       commands, requests, signatures

The server walks over NAME/ and takes the folders whose names are numbers; other files may lie beside them.

Source: TensorFlow Serving's guides "Tensorflow Serving Configuration", "TensorFlow Serving with Docker", "RESTful API"
and "TensorFlow Serving Batching Guide".
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from barlowtf.atomic import write_file
from barlowtf.errors import ExportError
from barlowtf.export.about import About
from barlowtf.export.texts import render
from barlowtf.printable import printable

# Rows of the batches that the server forms. It fills a batch up to the next of these, so that rounding up at most
# doubles the work; a warm-up request of each makes every later shape a known one.
BATCH_SIZES = (1, 2, 4, 8, 16, 32)

# In URLs, shell commands and text protos without quoting.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

_MEANINGS: dict[str, str | dict[str, str]] = {
    "images": {
        "uint8": "pixels of N images of one size, any height and width",
        "float32": "pixels in [0, 1], already of this size",
    },
    "encoded": "bytes of N JPEG or PNG files, of any sizes",
    "features": "of the encoder",
    "embeddings": "of the projector",
    "logits": "of the head, one for each class",
    "probabilities": "softmax of the logits",
    "label": "name of the most probable class, UTF-8",
    "valid": "whether the bytes were an image that can be read",
}


@dataclass(frozen=True)
class Signature:
    """One function of a SavedModel: its inputs and outputs by name, with dtype and shape."""

    inputs: Mapping[str, tf.TensorSpec]
    outputs: Mapping[str, tf.TensorSpec]


def write_serving_files(
    folder: Path,
    version: int,
    *,
    name: str,
    image_size: int,
    channels: int,
    signatures: Mapping[str, Signature],
    class_names: Sequence[str] | None,
) -> None:
    """Writes model.config and batching.config where there are none, and the README.txt of one version.

    Args:
        folder: NAME/, where the versions lie.
        version: Whose folder is there already.
        name: Under which the server offers the model.
        image_size: Height and width at which the encoder sees every image, pixels.
        channels: 1 or 3.
        signatures: At least "serving_default" and "from_jpeg".
        class_names: In the order of the logits; None without a head.

    Raises:
        ExportError: The name has characters that do not fit into a URL or a shell command.
        ValueError: A signature is missing.
    """
    readme = serving_readme(
        name=name, image_size=image_size, channels=channels, signatures=signatures, class_names=class_names
    )
    write_config_files(folder, name=name)
    write_file(folder / str(version) / "README.txt", readme)


def write_config_files(folder: Path, *, name: str) -> None:
    """Writes model.config and batching.config into NAME/; a file that is there is its user's and stays as it is.

    Raises:
        ExportError: As `write_serving_files`.
    """
    require_servable_name(name)
    for file in ("model.config", "batching.config"):
        if not (folder / file).exists():
            write_file(folder / file, render(f"{file}.j2", name=name, batch_sizes=BATCH_SIZES))


def serving_readme(
    *,
    name: str,
    image_size: int,
    channels: int,
    signatures: Mapping[str, Signature],
    class_names: Sequence[str] | None,
    about: About | None = None,
    latency: str = "",
) -> str:
    """Returns the README.txt of one version.

    Args:
        name: As of `write_serving_files`; so are the others up to `class_names`, and the errors.
        image_size: Height and width at which the encoder sees every image, pixels.
        channels: 1 or 3.
        signatures: At least "serving_default" and "from_jpeg".
        class_names: In the order of the logits; None without a head.
        about: What is known of its origin.
        latency: What was measured of it, sentences; "": nothing.
    """
    require_servable_name(name)
    about = about or About()
    missing = [needed for needed in ("serving_default", "from_jpeg") if needed not in signatures]
    if missing:
        raise ValueError(
            f"Invalid signatures: received {', '.join(signatures) or 'none'}, expected also {', '.join(missing)}."
        )
    return render(
        "README.txt.j2",
        name=name,
        image_size=image_size,
        channels=channels,
        signatures={key: _describe(signature) for key, signature in signatures.items()},
        outputs=signatures["from_jpeg"].outputs,
        class_names=None if class_names is None else [printable(name, keep="") for name in class_names],
        batch_sizes=BATCH_SIZES,
        origin=about.origin,
        measures=about.measures,
        confidences=about.confidences,
        latency=textwrap.fill(latency, 118),
    )


def require_servable_name(name: str) -> None:
    """Refuses a model name that would need quoting in a URL, a shell command or a text proto.

    Raises:
        ExportError: It does.
    """
    if not _NAME.fullmatch(name):
        raise ExportError(
            f"A model cannot be served under the name {name!r}: it becomes part of URLs and commands. "
            "Expected letters, digits, '.', '_' and '-', a letter or digit first; choose another name."
        )


def _describe(signature: Signature) -> list[tuple[str, str, str, str]]:
    """Returns (takes or gives, name, dtype and shape, meaning) of each input and output."""
    return [
        (way, name, f"{spec.dtype.name} {_shape(spec.shape)}", _meaning(name, spec.dtype.name))
        for way, specs in (("takes", signature.inputs), ("gives", signature.outputs))
        for name, spec in sorted(specs.items())
    ]


def _shape(shape: tf.TensorShape) -> str:
    """Returns "[N, H, W, 3]" for (None, None, None, 3): sizes that are open by their letters."""
    letters = "NHWC" if shape.rank == 4 else "Nd"
    sizes = [letter if size is None else str(size) for letter, size in zip(letters, shape, strict=False)]
    return f"[{', '.join(sizes)}]"


def _meaning(name: str, dtype: str) -> str:
    meaning = _MEANINGS.get(name, "")
    return meaning if isinstance(meaning, str) else meaning.get(dtype, "")
