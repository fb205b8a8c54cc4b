"""What a LiteRT file says of itself, by the metadata schema of TensorFlow Lite: for programs that take any image model.

MediaPipe Tasks read how images are normalized, what the outputs are called, and the names of the classes; Android
Studio and Netron show all of it. MediaPipe 1.2.3 cannot write it: its writer imports a module that the package lacks.

Source: google-ai-edge/mediapipe, mediapipe/tasks/metadata/metadata_schema.fbs, version 1.5.0.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flatbuffers
import numpy as np

from barlowtf.export.format import CLASS_NAMES_FILE, class_names_text
from barlowtf.export.network import Parts

_ENTRY, _IDENTIFIER, _MODEL_IDENTIFIER = "TFLITE_METADATA", b"M001", b"TFL3"
# Of the schema: all that is written here is in it since then.
_LEAST_PARSER = "1.0.0"
# Table -> its fields, in the order of the schema; none that are written come after them.
_TABLES = {
    "ModelMetadata": "name description version subgraph_metadata author license associated_files min_parser_version",
    "SubGraphMetadata": "name description input_tensor_metadata output_tensor_metadata",
    "TensorMetadata": "name description dimension_names content process_units stats associated_files",
    "Content": "content_properties_type content_properties range",
    "FeatureProperties": "",
    "ImageProperties": "color_space default_size",
    "ImageSize": "width height",
    "ProcessUnit": "options_type options",
    "NormalizationOptions": "mean std",
    "Stats": "max min",
    "AssociatedFile": "name description type locale version",
}
# Members of unions and enumerations.
_FEATURE, _IMAGE, _NORMALIZATION, _AXIS_LABELS = np.uint8(1), np.uint8(2), np.uint8(1), np.uint8(2)
_COLOR_SPACES = {3: np.uint8(1), 1: np.uint8(2)}
_DESCRIPTIONS = {
    "features": "What the encoder makes of an image",
    "logits": "Of each class, before the softmax",
    "probabilities": "Of each class, softmax",
}


@dataclass(frozen=True)
class _Table:
    """A table: field -> text, list of tables, array of numbers, one number of NumPy's type, or table."""

    kind: str
    values: Mapping[str, Any]


def with_metadata(content: bytes, parts: Parts, facts: Mapping[str, str] | None = None) -> bytes:
    """Returns a LiteRT file with metadata, and with a head the names of the classes as a zip at its end.

    Inputs and outputs are called as in the signature "serving_default". The same arguments give the same bytes.

    Args:
        content: A file that has the signature.
        parts: What was exported.
        facts: Lines of the description, name -> value; "encoder_sha256" is also the version.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content)
    (signature,) = model.signatureDefs
    graph = model.subgraphs[signature.subgraphIndex]
    for entry in (*signature.inputs, *signature.outputs):
        graph.tensors[entry.tensorIndex].name = entry.name
    names = {entry.tensorIndex: entry.name.decode() for entry in signature.outputs}
    (image,) = graph.inputs
    whole = graph.tensors[image].type == schema.TensorType.UINT8
    outputs = [_output(names[index], parts) for index in graph.outputs]
    metadata = _packed(_model(parts, facts or {}, [_images(parts, whole=whole)], outputs))
    model.buffers.append(schema.BufferT(data=np.frombuffer(metadata, np.uint8)))
    model.metadata.append(schema.MetadataT(name=_ENTRY, buffer=len(model.buffers) - 1))
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), file_identifier=_MODEL_IDENTIFIER)
    described = bytes(builder.Output())
    return described if parts.class_names is None else _with_file(described, CLASS_NAMES_FILE, class_names_text(parts))


def _model(parts: Parts, facts: Mapping[str, str], inputs: list[_Table], outputs: list[_Table]) -> _Table:
    graph = _Table("SubGraphMetadata", {"input_tensor_metadata": inputs, "output_tensor_metadata": outputs})
    values = {
        "name": parts.encoder.name,
        "description": "\n".join(f"{name}: {value}" for name, value in facts.items()),
        "version": facts.get("encoder_sha256", ""),
        "subgraph_metadata": [graph],
        "author": "barlowtf",
        "min_parser_version": _LEAST_PARSER,
    }
    return _Table("ModelMetadata", values)


def _images(parts: Parts, *, whole: bool) -> _Table:
    """Returns the description of the images; mean and deviation of training are inside, here are those of [0, 1]."""
    largest = 255.0 if whole else 1.0
    side = np.uint32(parts.size)
    image: dict[str, Any] = {"default_size": _Table("ImageSize", {"width": side, "height": side})}
    if parts.channels in _COLOR_SPACES:
        image |= {"color_space": _COLOR_SPACES[parts.channels]}
    # Of a file that takes uint8, too: the schema has the same for both, as what comes before the quantization.
    normalization = _Table("NormalizationOptions", {"mean": _floats(0.0), "std": _floats(255.0)})
    values = {
        "name": "images",
        "description": f"Images, {'uint8 from 0 to 255' if whole else 'float32 in [0, 1]'}",
        "content": _Table(
            "Content", {"content_properties_type": _IMAGE, "content_properties": _Table("ImageProperties", image)}
        ),
        "process_units": [_Table("ProcessUnit", {"options_type": _NORMALIZATION, "options": normalization})],
        "stats": _Table("Stats", {"max": _floats(largest), "min": _floats(0.0)}),
    }
    return _Table("TensorMetadata", values)


def _output(name: str, parts: Parts) -> _Table:
    content = {"content_properties_type": _FEATURE, "content_properties": _Table("FeatureProperties", {})}
    values = {"name": name, "description": _DESCRIPTIONS[name], "content": _Table("Content", content)}
    if name != "features":
        labels = {"name": CLASS_NAMES_FILE, "description": "Names of the classes, one a line", "type": _AXIS_LABELS}
        values |= {"associated_files": [_Table("AssociatedFile", labels)]}
    return _Table("TensorMetadata", values)


def _floats(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def _packed(table: _Table) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_write(builder, table), file_identifier=_IDENTIFIER)
    return bytes(builder.Output())


def _write(builder: flatbuffers.Builder, value: Any) -> int:
    """Writes a text, an array, a list of tables or a table, what it refers to first; returns where it lies."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, np.ndarray):
        return builder.CreateNumpyVector(value)
    if isinstance(value, list):
        places = [_write(builder, item) for item in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    fields = _TABLES[value.kind].split()
    written = {
        fields.index(name): item if isinstance(item, np.generic) else _write(builder, item)
        for name, item in value.values.items()
    }
    builder.StartObject(len(fields))
    for field, item in written.items():
        if isinstance(item, np.uint8):
            builder.PrependUint8Slot(field, int(item), 0)
        elif isinstance(item, np.uint32):
            builder.PrependUint32Slot(field, int(item), 0)
        else:
            builder.PrependUOffsetTRelativeSlot(field, item, 0)
    return builder.EndObject()


def _with_file(content: bytes, name: str, text: str) -> bytes:
    """Returns a file with another one behind it, as a zip: stored as it is, of a fixed time."""
    joined = io.BytesIO(content)
    with zipfile.ZipFile(joined, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), text)
    return joined.getvalue()
