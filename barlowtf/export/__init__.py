"""What is served: an encoder as files that other programs load."""

from barlowtf.export.plain import folded_encoder, plain_encoder

__all__ = ["folded_encoder", "plain_encoder"]
