"""The only file of the GPU benchmark that names this library: a change of a name there is one change here."""

import unittest.mock
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from barlowtf import augment, data, losses, models, optim
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.config.schema import Augment, Recipe
from benchmarks.gpu.cases import BIAS_LEARNING_RATE, LAMBD, LEARNING_RATE, InferenceCase, StepCase

CHANNELS = 3
# ImageNet's normalization among others.
DEFAULT_AUGMENT = Augment()


@contextmanager
def tracing_for_a_gpu() -> Iterator[None]:
    """Makes the library choose its operations as on a machine with a GPU.

    Without an accelerator it writes the gradient of some convolutions as products that only a CPU runs faster.
    """
    devices = [*tf.config.list_logical_devices(), tf.config.LogicalDevice("/device:GPU:0", "GPU")]
    with unittest.mock.patch.object(tf.config, "list_logical_devices", lambda kind=None: devices):
        yield


def step_model(case: StepCase, *, augmented: bool) -> keras.Model:
    """Returns the compiled model of a step, its optimizer built."""
    policy = "mixed_bfloat16" if case.bfloat16 else "float32"
    shape = (case.image_size, case.image_size, CHANNELS)
    encoder = models.make_encoder(case.encoder, image_shape=shape, dtype=policy)
    projector = models.make_projector(encoder.output_shape[-1], case.projector, dtype=policy)
    views = augment.TwoViews(Augment(size=case.image_size), CHANNELS) if augmented else None
    model = models.BarlowTwins(encoder, projector, lambd=LAMBD, augment=views)
    return _compiled(model, optim.LARS(LEARNING_RATE, BIAS_LEARNING_RATE, weight_decay=1e-6))


def loss_function(form: str) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns embeddings of both views -> the loss and its gradients, in one of its forms."""

    def value_and_gradient(z_a: tf.Tensor, z_b: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([z_a, z_b])
            loss = losses.barlow_twins_loss(z_a, z_b, lambd=LAMBD, form=form).total
        by_a, by_b = tape.gradient(loss, [z_a, z_b])
        return {"loss": loss, "of_view_a": by_a, "of_view_b": by_b}

    return value_and_gradient


LOSS_FORMS = {"N×N": "gram", "D×D": "correlation"}


def inference_encoder(case: InferenceCase) -> keras.Model:
    """Returns the encoder of an inference case."""
    shape = (case.image_size, case.image_size, CHANNELS)
    return models.make_encoder(case.encoder, image_shape=shape, dtype="mixed_bfloat16" if case.bfloat16 else "float32")


def feature_function(encoder: keras.Model, settings: Augment) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns images, uint8 [n, H, W, C] -> features, float32 [n, d], and their mean."""

    def features(images: tf.Tensor) -> dict[str, tf.Tensor]:
        pixels = augment.normalize(tf.cast(images, tf.float32) / 255.0, settings.mean, settings.std)
        found = tf.cast(encoder(pixels, training=False), tf.float32)
        return {"features": found, "mean": tf.reduce_mean(found)}

    return features


def read_recipe(name: str | Path, overrides: tuple[str, ...]) -> Recipe:
    """Returns a recipe by its name or file, with changes."""
    return load_recipe(name, overrides)


def recipe_text(recipe: Recipe) -> str:
    """Returns a complete recipe as TOML."""
    return dump_recipe(recipe)


def recipe_encoder(recipe: Recipe) -> keras.Model:
    """Returns a recipe's untrained encoder for square images of the views' size."""
    shape = (recipe.augment.size, recipe.augment.size, recipe.data.channels)
    return models.make_encoder(
        recipe.model.encoder,
        image_shape=shape,
        stem=recipe.model.stem,
        dtype=recipe.train.precision,
        seed=recipe.train.seed,
    )


def recipe_model(recipe: Recipe) -> tuple[keras.Model, dict[str, Any]]:
    """Returns a recipe's compiled model with rates that are variables, and the schedules that they follow.

    Returns:
        The model, its optimizer built; and name of the rate ("learning_rate", "bias_learning_rate") -> settings of its
        schedule, those of `optim.WarmupCosine`.
    """
    encoder = recipe_encoder(recipe)
    projector = models.make_projector(
        encoder.output_shape[-1], recipe.model.projector, dtype=recipe.train.precision, seed=recipe.train.seed
    )
    model = models.BarlowTwins(
        encoder,
        projector,
        lambd=recipe.loss.lambd,
        form=recipe.loss.form,
        augment=augment.TwoViews(recipe.augment, recipe.data.channels),
        gradient_scale=recipe.optimizer.gradient_scale,
    )
    scheduled = optim.make_optimizer(
        recipe.optimizer, batch_size=recipe.train.batch_size, steps_per_epoch=1, epochs=recipe.train.epochs
    )
    config = scheduled.get_config()
    schedules = {
        name: config[name]["config"] for name in ("learning_rate", "bias_learning_rate") if config.get(name) is not None
    }
    # Rates of an early warm-up step, until a run sets its own.
    constant = {name: 0.01 * settings["base_rate"] for name, settings in schedules.items()}
    return _compiled(model, type(scheduled).from_config({**config, **constant})), schedules


def training_step(model: keras.Model, recipe: Recipe) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns (images uint8 [M, H, W, C], ids int64 [N], epoch int64 []) -> the metrics of one step.

    Draws, crops and views are the library's, by seed, epoch and example.
    """
    settings, seed = recipe.augment, recipe.train.seed

    def step(images: tf.Tensor, ids: tf.Tensor, epoch: tf.Tensor) -> dict[str, tf.Tensor]:
        return model.training_logs(two_crops(settings, seed, tf.gather(images, ids), ids, epoch))

    return step


def two_crops(
    settings: Augment, seed: int, images: tf.Tensor, ids: tf.Tensor, epoch: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns crops of view a and of view b, uint8 [n, S, S, C], and the seeds, int32 [n, 2], of images in an epoch."""
    seeds = augment.example_seeds(seed, epoch, ids)
    pixels = tf.cast(images, tf.float32) / 255.0
    size = (settings.size, settings.size)

    def crops(stream: int) -> tf.Tensor:
        numbers = augment.uniforms(seeds, stream, augment.CROP_DRAWS)
        boxes = augment.draw_boxes(numbers, *images.shape[1:3], settings.area, settings.aspect)
        return tf.cast(tf.round(augment.random_resized_crop(pixels, boxes, size) * 255.0), tf.uint8)

    return crops(augment.CROP_A), crops(augment.CROP_B), seeds


def encoded_images(
    spec: str, split: str, limit: int | None = None
) -> tuple[list[bytes], np.ndarray, set[tuple[int, ...]]]:
    """Returns the encoded images of a split in the library's order, their labels and their shapes (H, W, C).

    Args:
        spec: Data: a folder, tfds:NAME or tfrecord:GLOB.
        split: "train" or "test".
        limit: Maximum number of images, evenly spread; None: all.

    Raises:
        ValueError: There is no such split, or it has no labels or no encoded images.
    """
    source = data.open_source(spec, split)
    if source is None or not source.has_labels or source.image_shape is not None:
        raise ValueError(f"Invalid data {spec}: expected a split {split} of encoded images with labels.")
    ids = np.arange(source.size)
    if limit is not None and limit < source.size:
        ids = np.linspace(0, source.size - 1, limit).round().astype(np.int64)
    encoded = [source.read(tf.constant(number, tf.int64)).numpy() for number in ids]
    shapes = {tuple(tf.io.extract_jpeg_shape(content).numpy().tolist()) for content in encoded}
    return encoded, source.labels_of(ids), shapes


def save_encoder(recipe: str, weights: list[np.ndarray], folder: Path) -> Path:
    """Writes encoder.keras and recipe.toml, as the command line takes them; returns the path of the encoder.

    Args:
        recipe: Text of the run's recipe, TOML.
        weights: In the order of `encoder.weights`.
        folder: It is made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    encoder = recipe_encoder(load_recipe(folder / "recipe.toml"))
    encoder.set_weights(weights)
    encoder.save(folder / "encoder.keras")
    return folder / "encoder.keras"


def _compiled(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> keras.Model:
    model.compile(optimizer=optimizer, jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    return model
