"""Encoders ready to use: loaded from a run, a file, a SavedModel or nothing, with everything needed to feed them."""

from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.loading import load

__all__ = ["Encoder", "load"]
