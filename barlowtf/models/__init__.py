"""Encoders, projector, the trainable whole, and the layer and the feature extraction they share."""

from barlowtf.models.barlow_twins import BarlowTwins
from barlowtf.models.encoder import make_encoder
from barlowtf.models.encoder_kind import EncoderKind
from barlowtf.models.features import extract_features
from barlowtf.models.normalization import BatchNormalization
from barlowtf.models.probe import Probe, make_head
from barlowtf.models.projector import make_projector
from barlowtf.tables import ENCODERS

__all__ = [
    "ENCODERS",
    "BarlowTwins",
    "BatchNormalization",
    "EncoderKind",
    "Probe",
    "extract_features",
    "make_encoder",
    "make_head",
    "make_projector",
]
