"""What is served: an encoder, with or without a classifier, as files that other programs load."""

from barlowtf.export.litert import VARIANTS, convert_litert
from barlowtf.export.network import Parts, inference_network, trainable_network
from barlowtf.export.plain import folded_encoder, plain_encoder
from barlowtf.export.saved_model import write_saved_model
from barlowtf.export.single_file import write_keras, write_onnx

__all__ = [
    "VARIANTS",
    "Parts",
    "convert_litert",
    "folded_encoder",
    "inference_network",
    "plain_encoder",
    "trainable_network",
    "write_keras",
    "write_onnx",
    "write_saved_model",
]
