"""The weights that a run starts from: read, compared with its recipe, and made to fit where that can be done."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from barlowtf import runs
from barlowtf.config import Recipe, load_recipe
from barlowtf.convert import make_models_of
from barlowtf.encoders.building import build_parts
from barlowtf.encoders.encoder import exported_encoder, normalization_of
from barlowtf.encoders.loading import finished_encoder, load_keras
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.models import keras_applications
from barlowtf.models.encoder import find_kind
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.transfer import Fit, InitialWeights, differing_steps, fit_weights
from barlowtf.places import INITIAL_FORMS, TORCH_SUFFIXES
from barlowtf.records import RunInit

_LOG = logging.getLogger("barlowtf")
_KERAS = "keras:"


@dataclass(frozen=True)
class Origin:
    """Models that a run may start from, as they are.

    Attributes:
        spec: As the user gave it.
        encoder: Normalized images -> features.
        projector: Features -> embeddings, or None where there is none.
        name: What a recipe calls the encoder; for files without a recipe the name of the model.
        mean: Of the normalization of the images that it was trained on, or None where nothing says it.
        std: Like `mean`.
    """

    spec: str
    encoder: keras.Model
    projector: keras.Model | None
    name: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None


def read_initial(recipe: Recipe) -> tuple[InitialWeights, RunInit]:
    """Returns the weights that a run of a recipe with `model.init` starts from, and the record of them.

    Nothing is written. What had to be changed, or is left out, is told in the log.

    Raises:
        CheckpointError: There is no such encoder, its run is unfinished, or it cannot be read.
        ConfigError: It does not fit the recipe; the message tells every weight that does not.
        ConversionError: The tensors of a PyTorch file are not those of an encoder.
    """
    if recipe.model.init is None:
        raise ValueError("Invalid model.init: received none, expected weights to start from.")
    origin = open_origin(recipe.model.init, stem=recipe.model.stem)
    encoder, projector = build_parts(recipe)
    of_encoder = fit_weights(origin.encoder, encoder)
    if of_encoder.misfits:
        raise ConfigError(_explain(origin, recipe, of_encoder))
    differences = [*of_encoder.adapted, *differing_steps(origin.encoder, encoder)]
    for line in (*differences, *_differing_normalization(origin, recipe)):
        _LOG.info("%s: %s.", origin.spec, line)
    of_projector = _fit_projector(origin, recipe, projector)
    record = RunInit(
        spec=origin.spec,
        sha256=weights_sha256(origin.encoder),
        taken=("encoder",) if of_projector is None else ("encoder", "projector"),
        adapted=tuple(differences),
    )
    return InitialWeights(of_encoder.values, None if of_projector is None else of_projector.values), record


def origin_settings(spec: str) -> dict[str, Any]:
    """Returns the settings of a recipe that the weights in `spec` belong to: encoder, stem and projector.

    Those of a run and of a file beside a recipe are known; of `keras:NAME` the encoder is. Otherwise {}.

    Raises:
        ConfigError: The recipe beside cannot be read.
    """
    if spec.startswith(_KERAS):
        return {"model.encoder": spec}
    path = Path(spec)
    beside = (path if path.is_dir() else path.parent) / "recipe.toml"
    if not path.exists() or not beside.exists():
        return {}
    model = load_recipe(beside).model
    taken = ("encoder", "stem", "projector", "projector_bias", "projector_normalization")
    return {f"model.{name}": value for name, value in model.model_dump(mode="json").items() if name in taken}


def open_origin(spec: str, *, stem: str = "auto") -> Origin:
    """Returns the models that a text names.

    Args:
        spec: A finished run folder, a `.keras` file with the projector beside it, if any, as NAME.projector.keras, a
            file of PyTorch as of `barlowtf.encoders.load`, or "keras:NAME" for weights of
            `keras.applications`.
        stem: Of the recipe: what the tensors of a PyTorch file do not tell.

    Raises:
        CheckpointError: There is no such encoder, its run is unfinished, or it cannot be read.
        ConfigError: The weights of `keras.applications` cannot be had.
        ConversionError: The tensors of a PyTorch file are not those of an encoder.
    """
    if spec.startswith(_KERAS):
        return _of_keras_applications(spec)
    path = Path(spec)
    if path.is_dir() and (path / "recipe.toml").exists():
        return _of_file(spec, finished_encoder(path))
    if path.is_file() and path.suffix == ".keras":
        return _of_file(spec, path)
    if path.is_file() and path.suffix in TORCH_SUFFIXES:
        models = make_models_of(path, stem=None if stem == "auto" else stem)
        mean, std = _normalization(spec, None, models.encoder)
        return Origin(spec, models.encoder, models.projector, models.encoder.name, mean, std)
    raise CheckpointError(f"Invalid model.init: received {spec!r}, expected {INITIAL_FORMS}.")


def _of_file(spec: str, path: Path) -> Origin:
    beside = path.parent / "recipe.toml"
    recipe = load_recipe(beside) if beside.exists() else None
    if recipe is not None:
        # A user's own encoder registers its layers when its file is imported.
        find_kind(recipe.model.encoder)
    encoder, projector = load_keras(path), runs.projector_beside(path)
    if exported_encoder(spec, encoder) is not None:
        raise CheckpointError(
            f"Invalid model.init: {spec} is an export, which is for inference alone. Give the run that it was made of."
        )
    if not isinstance(encoder.input_shape, tuple) or len(encoder.input_shape) != 4 or len(encoder.output_shape) != 2:
        raise CheckpointError(
            f"Invalid model.init: {spec} maps {encoder.input_shape} to {encoder.output_shape}, expected images "
            "[N, H, W, C] to features [N, d]."
        )
    mean, std = _normalization(spec, recipe, encoder)
    name = encoder.name if recipe is None else recipe.model.encoder
    return Origin(spec, encoder, load_keras(projector) if projector.exists() else None, name, mean, std)


def _of_keras_applications(spec: str) -> Origin:
    try:
        normalization = keras_applications.expected_normalization(spec)
        encoder = keras_applications.imagenet_weights(spec)
    except ValueError as error:
        raise ConfigError(f"Invalid model.init: received {spec}. {error}") from error
    return Origin(spec, encoder, None, spec, normalization.mean, normalization.std)


def _normalization(
    spec: str, recipe: Recipe | None, encoder: keras.Model
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    channels = encoder.input_shape[-1]
    if recipe is None and channels != 3:
        return None, None
    return normalization_of(spec, recipe, channels)


def _explain(origin: Origin, recipe: Recipe, fit: Fit) -> str:
    """Returns why an encoder cannot be started from, the architecture first, and what to do."""
    name = recipe.model.encoder
    if origin.name != name:
        what = f"it is {origin.name}, and model.encoder is {name}. Set model.encoder to {origin.name}"
    else:
        what = f"both are {name}, and not of one shape. Set model.stem as it was there"
    return f"Cannot start from {origin.spec}: {what}. {'. '.join(fit.misfits)}. Nothing was started."


def _fit_projector(origin: Origin, recipe: Recipe, projector: keras.Model) -> Fit | None:
    """Returns the fit of the projector, or tells why a new one is trained and returns None."""
    if origin.projector is None:
        reason = f"{origin.spec} has no projector beside it"
    else:
        fit = fit_weights(origin.projector, projector)
        if not fit.misfits:
            return fit
        reason = f"the projector of {origin.spec} has another shape ({'; '.join(fit.misfits)})"
    frozen = recipe.train.freeze_encoder_epochs
    then = (
        f"it learns alone first (train.freeze_encoder_epochs = {frozen})"
        if frozen
        else "train.freeze_encoder_epochs lets it learn alone first, so that it does less harm to the encoder"
    )
    _LOG.info("The projector starts from random weights: %s; %s.", reason, then)
    return None


def _differing_normalization(origin: Origin, recipe: Recipe) -> list[str]:
    augment = recipe.augment
    if origin.mean is None or (origin.mean, origin.std) == (augment.mean, augment.std):
        return []
    before, now = (
        f"mean {list(mean)} and std {list(std or ())}"
        for mean, std in ((origin.mean, origin.std), (augment.mean, augment.std))
    )
    return [f"its images were normalized by {before}, those of this run are by {now}"]
