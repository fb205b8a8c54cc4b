"""Models on disk."""

from pathlib import Path

import keras


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as a `.keras` file, whole or not at all."""
    aside = path.with_name(f".{path.name}")
    model.save(aside)
    aside.replace(path)
