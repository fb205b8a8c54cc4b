"""What is served: an encoder, with or without a classifier, as files that other programs load."""

from barlowtf.export.format import Format, Material, Replayed, compare_replayed, write_class_names
from barlowtf.export.keras_file import write_keras
from barlowtf.export.litert import VARIANTS, convert_litert
from barlowtf.export.network import Parts, inference_network, trainable_network
from barlowtf.export.onnx import write_onnx
from barlowtf.export.plain import folded_encoder, plain_encoder
from barlowtf.export.saved_model import write_saved_model
from barlowtf.tables import FORMATS

__all__ = [
    "FORMATS",
    "VARIANTS",
    "Format",
    "Material",
    "Parts",
    "Replayed",
    "compare_replayed",
    "convert_litert",
    "folded_encoder",
    "inference_network",
    "plain_encoder",
    "trainable_network",
    "write_class_names",
    "write_keras",
    "write_onnx",
    "write_saved_model",
]
