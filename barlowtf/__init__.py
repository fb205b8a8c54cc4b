"""Barlow Twins for TensorFlow and Keras: pre-train an image encoder without labels, measure it, serve it.

Sub-packages load on first use (PEP 562), so that ``import barlowtf`` does not start TensorFlow.
"""

import importlib
from types import ModuleType

__version__ = "0.1.0"

_SUBPACKAGES = (
    "atomic",
    "augment",
    "config",
    "convert",
    "data",
    "detection",
    "distribute",
    "doors",
    "encoders",
    "errors",
    "evaluation",
    "experiment",
    "export",
    "losses",
    "metrics",
    "models",
    "optim",
    "records",
    "report",
    "runs",
    "tables",
    "train",
)
__all__ = ["__version__", *_SUBPACKAGES]


def __getattr__(name: str) -> ModuleType:
    """Returns the sub-package `name`, imported on first use."""
    if name in _SUBPACKAGES:
        return importlib.import_module(f"barlowtf.{name}")
    raise AttributeError(f"module 'barlowtf' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names."""
    return sorted(__all__)
