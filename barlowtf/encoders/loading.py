"""From what a user gives as --encoder to an encoder with everything needed to feed it."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import cast

import keras

from barlowtf import runs
from barlowtf.config import Recipe, load_recipe
from barlowtf.data import rendering_of
from barlowtf.doors import require_trusted
from barlowtf.encoders.building import build_encoder
from barlowtf.encoders.encoder import Encoder, exported_encoder, model_encoder, pixel_encoder
from barlowtf.encoders.keras_scan import require_harmless_file, weight_limit
from barlowtf.encoders.saved_model import open_saved_model
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models.encoder import find_kind
from barlowtf.places import CONTROLS, ENCODER_FORMS, TORCH_SUFFIXES, require_encoder
from barlowtf.printable import printable
from barlowtf.regular import require_regular

_LOG = logging.getLogger("barlowtf")


def load(
    spec: str, *, config: str | None = None, like: Encoder | None = None, seed: int = 0, trust: bool = False
) -> Encoder:
    """Returns the encoder that a text names. No optimizer is built.

    Args:
        spec: A run folder, a `.keras` file, a SavedModel folder, a `.pth`, `.safetensors` or other file of PyTorch with
            torchvision's names or in a layout of `barlowtf.convert.layouts`, "random": the untrained encoder of a
            recipe, or "pixels": the center view itself, flattened, in [0, 1].
        config: Recipe, by name or file, of an encoder that has none beside it, and of the two controls: it says how
            images are prepared. None: the normalization of ImageNet.
        like: Encoder whose architecture and preparation "random", and whose size "pixels" takes where `config` is None.
        seed: Seed of the weights of "random", >= 0.
        trust: Whether to run code that comes with the encoder: operations of a SavedModel that no encoder needs, and an
            encoder's own code, "file.py:name", that the recipe beside it names. Without it such a SavedModel is
            refused, and the layers of such a run are taken as they are.

    Returns:
        Encoder.

    Raises:
        CheckpointError: There is no such encoder, its run is unfinished, or it cannot be read.
        ConfigError: Nothing says what the control is.
        ConversionError: The tensors of a PyTorch file do not fit.
    """
    if spec in CONTROLS:
        require_control(spec, config, like)
        return _random(config, like, seed, trust) if spec == "random" else _pixels(config, like)
    require_encoder(spec)
    path = Path(spec)
    recipe = _recipe_beside(path)
    known = recipe is None or _may_import(recipe, path, trust)
    if recipe is not None:
        # A user's own encoder registers its layers when its file is imported.
        if known:
            find_kind(recipe.model.encoder)
    elif config is not None:
        recipe = load_recipe(config)
    if path.is_dir() and (path / "recipe.toml").exists():
        loaded = _encoder_of_run(spec, runs.RunFolder(path), recipe)
        return loaded if known else replace(loaded, built_as=None)
    if path.is_dir() and (path / "saved_model.pb").exists():
        return open_saved_model(spec, path, recipe, trust=trust)
    if path.suffix == ".keras":
        run = path.parent if (path.parent / "recipe.toml").exists() else None
        model = load_keras(path)
        loaded = exported_encoder(spec, model) or model_encoder(spec, "keras", model, recipe, run=run)
        return loaded if known else replace(loaded, built_as=None)
    if path.suffix in TORCH_SUFFIXES:
        from barlowtf.convert import make_encoder_of

        return model_encoder(spec, "torch", make_encoder_of(path), recipe)
    raise CheckpointError(f"{path} is not an encoder. Expected {ENCODER_FORMS}.")


def load_keras(path: Path) -> keras.Model:
    """Returns the model of a `.keras` file, or raises CheckpointError; see `barlowtf.encoders.keras_scan`."""
    try:
        require_regular(path)
        held = require_harmless_file(path)
        with weight_limit(path, held):
            model = keras.models.load_model(path, compile=False)
        _require_finite_weights(path, model)
        return model
    except CheckpointError as error:
        # Keras adds the arguments of the layer in which it is raised.
        raise CheckpointError(str(error).partition("\n")[0]) from error
    # A configuration from elsewhere goes to the constructors of any layer, which may raise anything.
    except Exception as error:
        said = error.strerror if isinstance(error, OSError) else None
        reason = said or (str(error).strip() or repr(error)).splitlines()[0][:300]
        raise CheckpointError(f"Cannot read {path}: {reason}") from error


def _require_finite_weights(path: Path, model: keras.Model) -> None:
    """Raises CheckpointError where weights are not finite: features may be finite all the same, and say nothing."""
    floats = [weight for weight in model.weights if keras.backend.is_float_dtype(weight.dtype)]
    bad = [weight.path for weight in floats if not bool(keras.ops.all(keras.ops.isfinite(weight.value)))]
    if bad:
        names = ", ".join(printable(name, keep="")[:60] for name in bad[:3])
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise CheckpointError(
            f"Refused {path}: {len(bad)} of {len(model.weights)} tensors not finite: {names}{more}. The training that "
            "left them has diverged, or the file is damaged. Take an earlier state of the encoder."
        )


def _encoder_of_run(spec: str, run: runs.RunFolder, recipe: Recipe | None) -> Encoder:
    """Returns the trained encoder of a run, which must be the one that the run has left."""
    file, info = finished_encoder(run.path), run.read_info()
    encoder = model_encoder(spec, "run", load_keras(file), recipe, run=run.path)
    known = None if info is None else info.encoder_sha256
    if known not in (None, encoder.sha256):
        raise CheckpointError(
            f"{file} is not the encoder that its run has left: weights {str(known)[:12]} in run.json, "
            f"{encoder.sha256[:12]} in the file. Restore it, or take the file as it is: --encoder {file}."
        )
    return encoder


def finished_encoder(run: Path) -> Path:
    """Returns the file of a run's trained encoder, or raises CheckpointError where there is none yet."""
    folder = runs.RunFolder(run)
    if not folder.encoder.exists():
        status = folder.status
        told = "was killed" if status == "killed" else f"is {status}"
        raise CheckpointError(
            f"The run {run} has no encoder.keras yet: it {told}. "
            + ("Wait until it has finished." if status == "running" else "Resume it with the command that began it.")
        )
    return folder.encoder


def require_control(spec: str, config: str | None, like: Encoder | None) -> None:
    """Raises ConfigError where nothing says what "random" or "pixels" is, see `load`."""
    if config is not None:
        return
    if like is None:
        raise ConfigError(
            f"Nothing says what --encoder {spec} is. Add --config RECIPE, or a second --encoder with a run."
        )
    if spec == "random" and _recipe_beside(Path(like.name)) is None:
        raise ConfigError(
            f"Nothing says what --encoder random is: {like.name} has no recipe.toml beside it. Add --config RECIPE."
        )


def _recipe_beside(path: Path) -> Recipe | None:
    file = _file_beside(path)
    return load_recipe(file) if file.exists() else None


def _may_import(recipe: Recipe, path: Path, trust: bool) -> bool:
    """Returns whether the code of a run's own encoder may be imported; tells in the log where it may not."""
    try:
        require_trusted(recipe.model.encoder, "encoder", named_in=_file_beside(path), trust=trust)
    except ConfigError as error:
        _LOG.info("%s Its layers are taken as they are.", error)
        return False
    return True


def _file_beside(path: Path) -> Path:
    return (path if path.is_dir() else path.parent) / "recipe.toml"


def _random(config: str | None, like: Encoder | None, seed: int, trust: bool) -> Encoder:
    # `require_control` saw that there is one of the two.
    recipe = load_recipe(config) if config is not None else _recipe_beside(Path(cast(Encoder, like).name))
    recipe = cast(Recipe, recipe)
    if config is None:
        beside = _file_beside(Path(cast(Encoder, like).name))
        require_trusted(recipe.model.encoder, "encoder", named_in=beside, trust=trust)
    size = recipe.augment.evaluated_size if config is not None or like is None else like.image_shape[0]
    # In the precision of the encoder that it stands beside.
    model = build_encoder(recipe, size, dtype=recipe.train.precision, seed=seed)
    return model_encoder("random", "random", model, recipe, label="random")


def _pixels(config: str | None, like: Encoder | None) -> Encoder:
    if config is None:
        like = cast(Encoder, like)
        return pixel_encoder(like.image_shape, like.rendering)
    recipe = load_recipe(config)
    size = recipe.augment.evaluated_size
    return pixel_encoder((size, size, recipe.data.channels), rendering_of(recipe.data))
