"""Models on disk."""

from pathlib import Path

import keras

from barlowtf.atomic import whole_file


def save_model(model: keras.Model, path: Path) -> None:
    """Saves a model as a `.keras` file, whole or not at all."""
    with whole_file(path) as aside:
        model.save(aside)
