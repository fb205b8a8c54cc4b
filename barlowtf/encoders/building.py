"""Untrained models from a recipe."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf

from barlowtf import augment, losses
from barlowtf.config import Recipe
from barlowtf.config.optimizers import OPTIMIZERS
from barlowtf.errors import ConfigError
from barlowtf.models import BarlowTwins, make_encoder, make_projector
from barlowtf.models.encoder import open_kind, require_start, require_stem
from barlowtf.models.transfer import InitialWeights
from barlowtf.optim import AdamW, make_optimizer


@contextmanager
def _fitting_into_memory(recipe: Recipe) -> Iterator[None]:
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        widths = ", ".join(map(str, recipe.model.projector))
        raise ConfigError(
            f"The weights do not fit into memory: encoder {recipe.model.encoder}, projector {widths}. Choose a smaller "
            "model.encoder or model.projector."
        ) from error


def build_model(recipe: Recipe, steps_per_epoch: int, initial: InitialWeights | None = None) -> BarlowTwins:
    """Returns the compiled model of a recipe, its optimizer built; call it in the strategy's scope.

    Args:
        recipe: Every setting of the run.
        steps_per_epoch: Optimizer steps of one pass over the data, >= 1: the learning rate follows from it.
        initial: Weights to start from, see `barlowtf.encoders.initial`; None: random ones.

    Raises:
        ConfigError: There is no such loss, it has no such setting, another setting excludes what it needs, or the
            weights do not fit into memory.
    """
    with _fitting_into_memory(recipe):
        return _build_model(recipe, steps_per_epoch, initial)


def _build_model(recipe: Recipe, steps_per_epoch: int, initial: InitialWeights | None) -> BarlowTwins:
    loss = losses.bind_section(recipe.loss)
    if recipe.train.micro_batch is not None and loss.parts.target == "moving_average":
        raise ConfigError(
            f"Invalid train.micro_batch: received {recipe.train.micro_batch}, expected none with the loss "
            f"{recipe.loss.name}, which needs a moving-average copy of the encoder."
        )
    if loss.parts.mixture:
        _check_mixtures(recipe)
    if loss.parts.full_rank:
        _check_rank(recipe)
    encoder, projector = build_parts(recipe)
    if initial is not None:
        initial.assign(encoder, projector)
    first_step = 0 if recipe.parent is None else recipe.parent.updates
    model = BarlowTwins(
        encoder,
        projector,
        loss=loss,
        augment=augment.TwoViews(recipe.augment, recipe.data.channels),
        gradient_scale=recipe.optimizer.gradient_scale,
        micro_batch=recipe.train.micro_batch,
        pairs=recipe.train.pairs,
        local_views=recipe.augment.local.count,
        total_steps=recipe.train.epochs * steps_per_epoch,
        first_step=first_step,
        seed=recipe.train.seed,
    )
    model.compile(
        optimizer=make_optimizer(
            recipe.optimizer,
            batch_size=recipe.train.batch_size,
            steps_per_epoch=steps_per_epoch,
            epochs=recipe.train.epochs,
            first_step=first_step,
        ),
    )
    model.optimizer.build(model.trainable_variables)
    if isinstance(model.optimizer, AdamW):
        model.optimizer.delay(encoder.trainable_variables, _count_frozen_updates(recipe, steps_per_epoch))
    return model


def _check_mixtures(recipe: Recipe) -> None:
    """Raises ConfigError where images cannot be mixed with their neighbors in the batch."""
    train, replicas = recipe.train, tf.distribute.get_strategy().num_replicas_in_sync
    if train.micro_batch is not None:
        raise ConfigError(
            f"Invalid train.micro_batch: received {train.micro_batch}, expected none with the loss {recipe.loss.name}, "
            "which mixes images."
        )
    if train.batch_size % (2 * replicas):
        raise ConfigError(
            f"Invalid train.batch_size: received {train.batch_size}, expected a multiple of {2 * replicas} with the "
            f"loss {recipe.loss.name}, which mixes neighbors on each of {replicas} replicas."
        )


def _check_rank(recipe: Recipe) -> None:
    """Raises ConfigError where the batch has no more images than the embeddings have dimensions."""
    images, width = recipe.train.batch_size, recipe.model.projector[-1]
    if images <= width:
        raise ConfigError(
            f"Invalid train.batch_size: received {images}, expected more than the {width} dimensions of the embeddings "
            f"with the loss {recipe.loss.name}. Set train.batch_size or model.projector."
        )


def check_encoder(recipe: Recipe) -> None:
    """Refuses a recipe whose encoder does not go with its other settings, before anything is read, built or written.

    Raises:
        ConfigError: There is no such encoder, it has no such stem or start, or the optimizer does not train it.
    """
    name, stem, optimizer = recipe.model.encoder, recipe.model.stem, recipe.optimizer.name
    try:
        kind = open_kind(name)
        require_stem(name, kind, stem)
    except ValueError as error:
        raise ConfigError(f"{error} Set model.encoder and model.stem.") from error
    try:
        require_start(name, kind, recipe.model.zero_residual)
    except ValueError as error:
        raise ConfigError(f"{error} Set model.zero_residual.") from error
    if stem == "auto" and kind.stems and _only_size(recipe) is None:
        others = [key for key, size in recipe.augment.image_sizes.items() if size != recipe.augment.size]
        raise ConfigError(
            f"Invalid model.stem: received auto, expected {', '.join(kind.stems)} where {others[0]} differs from "
            "augment.size. Set model.stem."
        )
    if optimizer in kind.refused_optimizers:
        others = [known for known in OPTIMIZERS if known not in kind.refused_optimizers]
        raise ConfigError(
            f"Invalid optimizer.name: received {optimizer} for the encoder {name}, expected {', '.join(others)}: "
            f"{kind.refused_optimizers[optimizer]}. Set optimizer.name."
        )


def settle_loss(recipe: Recipe) -> Recipe:
    """Returns a recipe that states every setting of its loss.

    Raises:
        ConfigError: There is no such loss, or it has no such setting.
    """
    return recipe.model_copy(update={"loss": losses.settle(recipe.loss)})


def build_parts(recipe: Recipe) -> tuple[keras.Model, keras.Model]:
    """Returns the untrained encoder and projector of a recipe, without an optimizer."""
    policy, seed = recipe.train.precision, recipe.train.seed
    encoder = build_encoder(recipe, _only_size(recipe), dtype=policy, seed=seed)
    projector = make_projector(
        encoder.output_shape[-1],
        recipe.model.projector,
        bias=recipe.model.projector_bias,
        normalization=recipe.model.projector_normalization,
        dtype=policy,
        seed=seed,
    )
    return encoder, projector


def build_encoder(recipe: Recipe, size: int | None, *, dtype: str, seed: int) -> keras.Model:
    """Returns the untrained encoder of a recipe.

    Args:
        recipe: Names the encoder, its stem and the number of channels.
        size: Height and width of the images, pixels; None: any.
        dtype: Keras dtype policy, "float32" or "mixed_bfloat16".
        seed: Seed of the weights, >= 0.

    Raises:
        ConfigError: There is no such encoder.
    """
    model, shape = recipe.model, (size, size, recipe.data.channels)
    try:
        return make_encoder(
            model.encoder,
            image_shape=shape,
            stem=model.stem,
            zero_residual=model.zero_residual,
            dtype=dtype,
            seed=seed,
        )
    except ValueError as error:
        raise ConfigError(f"{error} Set model.encoder and model.stem.") from error


def _count_frozen_updates(recipe: Recipe, steps_per_epoch: int) -> int:
    """Returns the number of updates that leave the encoder as it is, of this run and of those that it goes on from."""
    before = 0 if recipe.parent is None else recipe.parent.frozen_updates
    return before + recipe.train.freeze_encoder_epochs * steps_per_epoch


def _only_size(recipe: Recipe) -> int | None:
    """Returns the size of all images that the encoder will see; None where views, local views and tests differ."""
    return recipe.augment.size if len(set(recipe.augment.image_sizes.values())) == 1 else None
