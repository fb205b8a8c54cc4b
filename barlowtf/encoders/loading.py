"""From what a user gives as --encoder to an encoder with everything needed to feed it."""

import zipfile
from pathlib import Path

import keras

from barlowtf import runs
from barlowtf.config import Recipe, load_recipe
from barlowtf.encoders.building import build_encoder
from barlowtf.encoders.encoder import Encoder, exported_encoder, model_encoder
from barlowtf.encoders.saved_model import open_saved_model
from barlowtf.errors import CheckpointError, ConfigError

FORMS = "a run folder, a .keras file, a SavedModel folder, a .pth or .safetensors file, or random"


def load(spec: str, *, config: str | None = None, like: Encoder | None = None, seed: int = 0) -> Encoder:
    """Returns the encoder that a text names.

    Args:
        spec: A run folder, a `.keras` file, a SavedModel folder, a `.pth` or `.safetensors` file with torchvision's
            names, or "random": the untrained encoder of a recipe.
        config: Recipe, by name or file, of an encoder that has none beside it, and of "random": it says how images are
            prepared. None: the normalization of ImageNet.
        like: Encoder whose architecture and preparation "random" takes where `config` is None.
        seed: Seed of the weights of "random", >= 0.

    Returns:
        Encoder.

    Raises:
        CheckpointError: There is no such encoder, its run is unfinished, or it cannot be read.
        ConfigError: Nothing says what "random" is.
        ConversionError: The tensors of a PyTorch file do not fit.
    """
    if spec == "random":
        return _random(config, like, seed)
    path = Path(spec)
    if not path.exists():
        raise CheckpointError(f"No encoder at {path}. Expected {FORMS}.")
    recipe = _recipe_beside(path)
    if recipe is None and config is not None:
        recipe = load_recipe(config)
    if path.is_dir() and (path / "recipe.toml").exists():
        encoder = runs.RunFolder(path).encoder
        if not encoder.exists():
            status = runs.RunFolder(path).status
            raise CheckpointError(
                f"The run {path} has no encoder.keras yet: it is {status}. Resume it with the command that began it."
            )
        return model_encoder(spec, "run", load_keras(encoder), recipe, run=path)
    if path.is_dir() and (path / "saved_model.pb").exists():
        return open_saved_model(spec, path, recipe)
    if path.suffix == ".keras":
        run = path.parent if (path.parent / "recipe.toml").exists() else None
        model = load_keras(path)
        return exported_encoder(spec, model) or model_encoder(spec, "keras", model, recipe, run=run)
    if path.suffix in (".pth", ".pt", ".safetensors"):
        from barlowtf.convert import make_encoder_of

        return model_encoder(spec, "torch", make_encoder_of(path), recipe)
    raise CheckpointError(f"{path} is no encoder. Expected {FORMS}.")


def load_keras(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, or raises CheckpointError."""
    try:
        return keras.models.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        raise CheckpointError(f"Cannot read {path}: {reason}") from error


def _recipe_beside(path: Path) -> Recipe | None:
    file = (path if path.is_dir() else path.parent) / "recipe.toml"
    return load_recipe(file) if file.exists() else None


def _random(config: str | None, like: Encoder | None, seed: int) -> Encoder:
    recipe = require_random(config, like)
    size = recipe.augment.evaluated_size if config is not None or like is None else like.image_shape[0]
    # In the precision of the encoder that it stands beside.
    model = build_encoder(recipe, size, dtype=recipe.train.precision, seed=seed)
    return model_encoder("random", "random", model, recipe, label="random")


def require_random(config: str | None, like: Encoder | None) -> Recipe:
    """Returns the recipe of the untrained encoder, see `load`.

    Raises:
        ConfigError: Nothing says which one it is.
    """
    if config is not None:
        return load_recipe(config)
    if like is None:
        raise ConfigError("--encoder random needs to know which one: add --config RECIPE, or a second --encoder RUN.")
    recipe = _recipe_beside(Path(like.name))
    if recipe is None:
        raise ConfigError(f"{like.name} has no recipe.toml that says what its untrained encoder is: add --config.")
    return recipe
