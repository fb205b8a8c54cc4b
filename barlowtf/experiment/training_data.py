"""The images of a run and what is made of them: batches of crops, first views, center views."""

import logging
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import tensorflow as tf

from barlowtf import augment, data
from barlowtf.config import Recipe
from barlowtf.errors import ConfigError
from barlowtf.experiment.data import open_split

_LOG = logging.getLogger("barlowtf")
# The batch in which features are extracted.
_EVALUATION_BATCH = 256
# Images whose views go through the encoder at a time.
_PART = 64


def open_training_data(recipe: Recipe) -> data.Source:
    """Returns the training images, in memory where they are small."""
    source = open_split(recipe.data.source, "train")
    for note in source.notes:
        _LOG.info("%s: %s", source.name, note)
    return data.preload(source, recipe.data.channels, rendering=data.rendering_of(recipe.data))


def log_alike_names(source: data.Source) -> None:
    """Logs which classes of labeled images are probably meant as one."""
    alike = data.note_on_alike_names(source.class_names or ())
    if alike is not None:
        _LOG.info("%s: %s", source.name, alike)


def open_labeled(recipe: Recipe, source: data.Source) -> tuple[data.Source, data.Source | None] | None:
    """Returns the labeled images that the run is measured on, train and test split; None where there are no labels.

    No test split: there is none, or the recipe leaves it alone.

    Raises:
        ConfigError: The recipe names images for their labels that have none, or keeps the best epoch by labels where
            there are none.
        DataError: They cannot be read, or the run is to be measured on a test split that has the images of the train
            split, or other classes.
    """
    spec = recipe.monitor.labels
    train = source if spec is None else open_split(spec, "train")
    if train.has_labels and (train.class_names is None or len(train.class_names) > 1):
        of_train = recipe.monitor.split == "train"
        test = None if of_train else data.open_source(spec or recipe.data.source, "test")
        if test is None or not test.has_labels:
            return train, None
        if recipe.monitor.knn_every_epochs is not None:
            _require_measurable(spec or recipe.data.source, train, test)
            labels = test.labels_of(np.arange(test.size, dtype=np.int64))
            if len(np.unique(labels[labels >= 0])) == 1:
                _LOG.warning("All test images of %s are of one class: kNN is measured on training images.", test.name)
                return train, None
        return train, test
    if spec is not None:
        raise ConfigError(
            f"Invalid monitor.labels: received {spec}, which has no labels of two classes, expected labeled images."
        )
    if recipe.checkpoint.keep_best in ("knn", "probe"):
        raise ConfigError(
            f"Invalid checkpoint.keep_best: received {recipe.checkpoint.keep_best}, expected a measure without labels, "
            f"which {recipe.data.source} does not have of two classes: rankme, lidar or alpha. Or set monitor.labels."
        )
    return None


def _require_measurable(spec: str, train: data.Source, test: data.Source) -> None:
    """Raises DataError where nothing can be measured on the test split."""
    # In memory images lie decoded, and only stored ones can be compared.
    if train.size == test.size:
        data.require_other_images(spec, open_split(spec, "train"), test)
    data.require_equal_classes(spec, train, test)


def make_batches(
    recipe: Recipe,
    source: data.Source,
    strategy: tf.distribute.Strategy,
    start_step: int,
    total_steps: int,
    skipped: data.SkippedImages | None = None,
) -> data.TrainingBatches:
    """Returns the batches of the steps from `start_step` on, per replica: the input of `augment.TwoViews`.

    Args:
        recipe: What the batches are made by.
        source: The images.
        strategy: Runs the steps.
        start_step: Number of finished steps.
        total_steps: Number of all steps.
        skipped: The images that the run passes over; None: up to `data.max_unreadable`, which no other reader knows of.
    """
    skipped = skipped_images(recipe) if skipped is None else skipped
    settings = recipe.augment
    crop = augment.CropPlan(
        size=(settings.size, settings.size), area=settings.area, aspect=settings.aspect, window=settings.window
    )
    small = replace(crop, size=(settings.local.size, settings.local.size), area=settings.local.area)
    plan = data.BatchPlan(
        batch_size=recipe.train.batch_size,
        channels=recipe.data.channels,
        seed=recipe.train.seed,
        crop=crop,
        start_step=start_step,
        total_steps=total_steps,
        local=data.LocalPlan(small, settings.local.count) if settings.local.count else None,
        first_epoch=0 if recipe.parent is None else recipe.parent.epochs,
        rendering=data.rendering_of(recipe.data),
    )
    return data.TrainingBatches(source, plan, strategy=strategy, pairs=recipe.train.pairs, skipped=skipped)


def skipped_images(recipe: Recipe) -> data.SkippedImages:
    """Returns the images that a run of a recipe passes over: none yet."""
    return data.SkippedImages(recipe.data.max_unreadable)


def first_views(
    recipe: Recipe, source: data.Source, count: int, skipped: data.SkippedImages | None = None
) -> tuple[np.ndarray, ...]:
    """Returns both views of the first images of the run, float32 [M, S, S, C], normalized; M <= count.

    Where there are local views, they are the third, [K, M, s, s, C].
    """
    recipe, count = _with_batch(recipe, source, count, pairs=1)
    batch = _first_batch(recipe, source, skipped)
    view_a, view_b, *local = augment.TwoViews(recipe.augment, recipe.data.channels)(batch)
    small = (tf.reshape(views, [-1, count, *views.shape[1:]]) for views in local)
    return tuple(views.numpy() for views in (view_a, view_b, *small))


class FixedViews:
    """The first pairs of views of the first images of a run, made from their crops at each pass.

    Crops take a quarter of the memory of views. All draws are functions of seed, image and view, so each pass, and a
    resumed run, gets the same ones.
    """

    def __init__(
        self,
        recipe: Recipe,
        source: data.Source,
        count: int,
        *,
        pairs: int,
        skipped: data.SkippedImages | None = None,
    ) -> None:
        """Reads the crops of up to `count` images; the first pair is that of the run's first step."""
        local = recipe.augment.local.model_copy(update={"count": 0})
        recipe = recipe.model_copy(update={"augment": recipe.augment.model_copy(update={"local": local})})
        recipe, self.count = _with_batch(recipe, source, count, pairs=pairs)
        self.pairs = pairs
        self._layer = augment.TwoViews(recipe.augment, recipe.data.channels)
        # [P M, ...] -> [P, M, ...]
        self._crops = [tf.reshape(part, [pairs, -1, *part.shape[1:]]) for part in _first_batch(recipe, source, skipped)]

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yields normalized views in parts of up to 64 images, float32 [2 P, m, S, S, C]."""
        for start in range(0, self.count, _PART):
            part = [crops[:, start : start + _PART] for crops in self._crops]
            views = self._layer(tuple(tf.reshape(crops, [-1, *crops.shape[2:]]) for crops in part))
            shape = [self.pairs, -1, *views[0].shape[1:]]
            paired = tf.stack([tf.reshape(view, shape) for view in views], axis=1)  # [P, 2, m, S, S, C]
            yield tf.reshape(paired, [2 * self.pairs, *paired.shape[2:]]).numpy()


def _with_batch(recipe: Recipe, source: data.Source, count: int, *, pairs: int) -> tuple[Recipe, int]:
    """Returns the recipe with one batch of up to `count` images, and their number: the first ones of the run."""
    count = min(count, source.size)
    train = recipe.train.model_copy(update={"batch_size": count, "pairs": pairs, "micro_batch": None})
    return recipe.model_copy(update={"train": train}), count


def _first_batch(recipe: Recipe, source: data.Source, skipped: data.SkippedImages | None) -> tuple[tf.Tensor, ...]:
    return tuple(next(make_batches(recipe, source, tf.distribute.get_strategy(), 0, 1, skipped)))


def normalized_views(
    recipe: Recipe, source: data.Source, ids: np.ndarray, skipped: data.SkippedImages
) -> Iterator[tuple[np.ndarray, tf.Tensor]]:
    """Yields numbers, int64 [m], and normalized center views, float32 [m, S, S, C], of the images that can be read."""
    batches = data.readable_views(
        source,
        ids,
        size=recipe.augment.evaluated_size,
        channels=recipe.data.channels,
        batch_size=_EVALUATION_BATCH,
        skipped=skipped,
        rendering=data.rendering_of(recipe.data),
    )
    mean, std = recipe.augment.mean, recipe.augment.std
    for numbers, images in batches:
        yield numbers, augment.normalize(augment.unit_range(images), mean, std)
