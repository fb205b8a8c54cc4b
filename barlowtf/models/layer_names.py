"""The names that Keras gives to layers and operations without one."""

import re


def given_name(kind: str) -> str:
    """Returns the name of the first layer of a kind, before its number: "LayerNormalization", "layer_normalization"."""
    # As Keras does it.
    separated = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", kind))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", separated).lower()
