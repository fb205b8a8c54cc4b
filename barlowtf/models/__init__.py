"""Encoders, projector, and the layer and the feature extraction they share."""

from barlowtf.models.encoder import make_encoder
from barlowtf.models.features import extract_features
from barlowtf.models.normalization import BatchNormalization
from barlowtf.models.projector import make_projector

__all__ = ["BatchNormalization", "extract_features", "make_encoder", "make_projector"]
