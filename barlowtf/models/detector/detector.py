"""Faster R-CNN and Mask R-CNN on the conv4 features of an encoder, with its last stage as the head ("C4").

Letters: B images padded to H × W, G places for the objects of an image, R regions, D detections, K classes.

Source: arXiv:1506.01497, arXiv:1703.06870; facebookresearch/detectron2 configs/Base-RCNN-C4.yaml; the normalization
behind the head is that of facebookresearch/moco detection/train_net.py.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from barlowtf import detection
from barlowtf.augment import ANCHORS, REGIONS, uniforms
from barlowtf.distribute.collectives import all_reduce_sum
from barlowtf.models.detector.mask_head import make_mask_head, mask_loss, mask_targets, of_class
from barlowtf.models.detector.proposals import (
    flat_outputs,
    make_proposal_network,
    proposal_losses,
    propose,
)
from barlowtf.models.detector.regions import (
    FoundObjects,
    Regions,
    choose_regions,
    find_objects,
    make_box_head,
    region_losses,
)
from barlowtf.models.detector.settings import DetectorSettings
from barlowtf.models.detector.splitting import SplitEncoder
from barlowtf.models.gradient_tape import gradient_tape
from barlowtf.models.normalization import BatchNormalization

# Side of the features of a region; the head halves it.
_POOLED = 14
# Regions that go through the head at once in inference: those of one image need several GB otherwise.
_REGIONS_AT_ONCE = 256
LOSS_NAMES = ("proposal_class", "proposal_box", "class", "box")
MASK_LOSS_NAME = "mask"


class DetectionBatch(NamedTuple):
    """Images and the objects in them."""

    images: tf.Tensor  # uint8 or uint16 [B, H, W, C], padded on the right and below
    extents: tf.Tensor  # float32 [B, 2], height and width of each image without its padding
    boxes: tf.Tensor  # float32 [B, G, 4] = x1, y1, x2, y2 in pixels
    labels: tf.Tensor  # int32 [B, G]
    valid: tf.Tensor  # bool [B, G], False in an empty place
    masks: tf.Tensor  # bool [B, G, S, S], each mask within its box; S = 0 without masks
    seeds: tf.Tensor  # int32 [B, 2], of `barlowtf.augment.example_seeds`


class Detector(keras.Model):
    """Finds objects; trains all layers, on the statistics of the global batch.

    Works with `compile` and with `strategy.run(model.training_logs, args=(batch,))`.
    """

    def __init__(
        self,
        encoder: SplitEncoder,
        classes: int,
        settings: DetectorSettings | None = None,
        *,
        masks: bool = False,
        prepare: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
        seed: int = 0,
        **options: Any,
    ) -> None:
        """Makes the layers that an encoder lacks.

        Args:
            encoder: Trunk and head; they share their weights with the encoder.
            classes: Number K of classes, >= 1.
            settings: Numbers; None: those of detectron2.
            masks: Whether it also predicts masks, as Mask R-CNN.
            prepare: Turns what a batch holds into normalized images; runs on the device.
            seed: Of the first weights of the new layers.
            **options: Passed to `keras.Model`.

        Raises:
            ValueError: There is no class.
        """
        if classes < 1:
            raise ValueError(f"Invalid classes: received {classes}, expected at least 1.")
        super().__init__(**options)
        self.settings = settings or DetectorSettings()
        self.trunk, self.head, self.stride = encoder
        self.class_count, self.prepare = classes, prepare
        width = int(self.head.output_shape[-1])
        cells = len(self.settings.anchor_sizes) * len(self.settings.anchor_ratios)
        self.proposal_network = make_proposal_network(int(self.trunk.output_shape[-1]), cells, seed=seed)
        self.head_normalization = BatchNormalization(name="head_normalization", dtype=self.head.dtype_policy)
        self.head_normalization.build((None, None, None, width))
        self.box_head = make_box_head(width, classes, seed=seed)
        self.mask_head = make_mask_head(width, classes, seed=seed) if masks else None
        self.built = True

    def training_logs(self, data: DetectionBatch) -> dict[str, tf.Tensor]:
        """Makes one update from this replica's share of the batch.

        Args:
            data: The share; its shapes are known.

        Returns:
            float32 scalars: loss, the terms of `LOSS_NAMES` (and "mask"), which add up to it, of the global batch, and
            first_nonfinite, the index into `checked_names` of the first that is not finite, -1 where all are.
        """
        batch, variables = DetectionBatch(*data), self.trainable_variables
        with gradient_tape() as tape:
            shares = self._loss_shares(batch)
            share = tf.add_n(shares)
        self.optimizer.apply(tape.gradient(share, variables), variables)
        terms = tf.unstack(all_reduce_sum(tf.stack(shares)))
        logs = dict(zip(self.checked_names, terms, strict=True))
        bad = tf.logical_not(tf.math.is_finite(tf.stack(terms)))
        first = tf.cast(tf.argmax(tf.cast(bad, tf.int32)), tf.float32)
        return {"loss": tf.add_n(terms), **logs, "first_nonfinite": tf.where(tf.reduce_any(bad), first, -1.0)}

    @property
    def checked_names(self) -> list[str]:
        """Names of the tensors that `first_nonfinite` counts."""
        return [*LOSS_NAMES, *([] if self.mask_head is None else [MASK_LOSS_NAME])]

    def detect(self, images: tf.Tensor, extents: tf.Tensor) -> tuple[FoundObjects, tf.Tensor]:
        """Returns the objects in images, in inference mode.

        Args:
            images: uint8 or uint16 [B, H, W, C], padded on the right and below; the shape is known.
            extents: Height and width of each image without its padding, float32 [B, 2], pixels.

        Returns:
            Objects, boxes in pixels of `images`, and their masks within their boxes as probabilities, float32
            [B, D, s, s]; s = 0 without masks.
        """
        features = self.trunk(self._normalized(images, extents), training=False)
        anchors = self._anchors(features)
        logits, deltas = flat_outputs(*self.proposal_network(features))
        proposals = propose(anchors, logits, deltas, extents, self.settings, training=False)
        scores, moves = self._in_parts(features, proposals.boxes, lambda seen: self.box_head(_pooled(seen)))
        found = find_objects(proposals, scores, moves, extents, self.settings)
        mask_head = self.mask_head
        if mask_head is None:
            return found, tf.zeros([*found.labels.shape, 0, 0])
        (masks,) = self._in_parts(features, found.boxes, lambda seen: [mask_head(seen)])
        own = tf.sigmoid(of_class(masks, tf.reshape(found.labels, [-1])))
        return found, tf.reshape(own, [*found.labels.shape, *own.shape[1:]])

    def _loss_shares(self, batch: DetectionBatch) -> list[tf.Tensor]:
        """Returns this replica's share of each term of the global loss."""
        settings = self.settings
        features = self.trunk(self._normalized(batch.images, batch.extents), training=True)
        anchors = self._anchors(features)
        logits, deltas = flat_outputs(*self.proposal_network(features, training=True))
        keys = uniforms(batch.seeds, ANCHORS, int(anchors.shape[0]))
        of_proposals = proposal_losses(anchors, logits, deltas, batch.extents, batch.boxes, batch.valid, keys, settings)
        proposals = propose(anchors, logits, deltas, batch.extents, settings, training=True)
        keys = uniforms(batch.seeds, REGIONS, settings.proposals[0] + batch.boxes.shape[1])
        regions = choose_regions(proposals, batch.boxes, batch.labels, batch.valid, keys, self.class_count, settings)
        seen = self._seen(features, regions.boxes, training=True)
        scores, moves = self.box_head(_pooled(seen))
        of_regions = region_losses(regions, scores, moves, batch.boxes)
        positives = self._positives(regions)
        counts = tf.stack(
            [
                tf.cast(tf.shape(batch.images)[0] * settings.anchors_sampled, tf.float32),
                tf.reduce_sum(tf.cast(regions.valid, tf.float32)),
                tf.reduce_sum(tf.cast(positives.positive, tf.float32)),
            ]
        )
        of_anchors, of_valid, of_positive = tf.unstack(all_reduce_sum(counts))
        shares = [loss / of_anchors for loss in of_proposals]
        shares += [tf.math.divide_no_nan(loss, of_valid) for loss in of_regions]
        if self.mask_head is None:
            return shares
        of_masks = self._mask_loss(self.mask_head, seen, positives, batch)
        return [*shares, tf.math.divide_no_nan(of_masks, of_positive)]

    def _positives(self, regions: Regions) -> Regions:
        """Returns the places of regions in which positives can be."""
        return Regions(*(part[:, : self.settings.positive_regions] for part in regions))

    def _mask_loss(
        self, mask_head: keras.Model, seen: tf.Tensor, positives: Regions, batch: DetectionBatch
    ) -> tf.Tensor:
        """Returns the loss of the masks, summed over the positives."""
        seen = tf.reshape(seen, [-1, self.settings.regions, *seen.shape[1:]])[:, : self.settings.positive_regions]
        logits = mask_head(tf.reshape(seen, [-1, *seen.shape[2:]]), training=True)
        masks, truths = (tf.gather(of, positives.truth, axis=1, batch_dims=1) for of in (batch.masks, batch.boxes))
        targets = mask_targets(
            tf.reshape(masks, [-1, *masks.shape[2:]]),
            tf.reshape(truths, [-1, 4]),
            tf.reshape(positives.boxes, [-1, 4]),
            size=logits.shape[1],
        )
        return mask_loss(logits, tf.reshape(positives.labels, [-1]), targets, tf.reshape(positives.positive, [-1]))

    def _normalized(self, images: tf.Tensor, extents: tf.Tensor) -> tf.Tensor:
        """Returns what the trunk takes; padding is 0 behind the normalization, as in detectron2."""
        height, width = images.shape[1:3]
        rows = tf.range(height, dtype=tf.float32)[None] < extents[:, :1]
        columns = tf.range(width, dtype=tf.float32)[None] < extents[:, 1:]
        inside = rows[:, :, None] & columns[:, None, :]
        return tf.where(inside[..., None], self.prepare(images), 0.0)

    def _anchors(self, features: tf.Tensor) -> tf.Tensor:
        return detection.map_anchors(
            features.shape[1],
            features.shape[2],
            stride=self.stride,
            sizes=self.settings.anchor_sizes,
            ratios=self.settings.anchor_ratios,
        )

    def _seen(self, features: tf.Tensor, boxes: tf.Tensor, *, training: bool) -> tf.Tensor:
        """Returns what the head makes of boxes [B, R, 4], float32 [B·R, h, w, d]."""
        images = tf.range(tf.shape(boxes)[0])[:, None] + tf.zeros_like(boxes[..., 0], tf.int32)
        pooled = detection.roi_align(
            features,
            tf.reshape(boxes, [-1, 4]),
            tf.reshape(images, [-1]),
            size=_POOLED,
            scale=1.0 / self.stride,
            samples=self.settings.samples,
        )
        seen = self.head_normalization(self.head(pooled, training=training), training=training)
        return tf.cast(seen, tf.float32)

    def _in_parts(
        self, features: tf.Tensor, boxes: tf.Tensor, network: Callable[[tf.Tensor], list[tf.Tensor]]
    ) -> list[tf.Tensor]:
        """Returns the outputs of a network on what the head makes of boxes [B, P, 4], each [B·P, ...]."""
        places = boxes.shape[1]
        parts = [
            network(self._seen(features, boxes[:, start : start + _REGIONS_AT_ONCE], training=False))
            for start in range(0, places, _REGIONS_AT_ONCE)
        ]
        images = boxes.shape[0]
        joined = (
            tf.concat([tf.reshape(part, [images, -1, *part.shape[1:]]) for part in outputs], axis=1)
            for outputs in zip(*parts, strict=True)
        )
        return [tf.reshape(output, [-1, *output.shape[2:]]) for output in joined]


def _pooled(seen: tf.Tensor) -> tf.Tensor:
    """Returns the mean over the pixels of each region, [n, d]."""
    return tf.reduce_mean(seen, axis=[1, 2])
