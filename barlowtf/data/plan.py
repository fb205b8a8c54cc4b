"""What a training reads: the settings that every one of its batches follows from."""

from dataclasses import dataclass

from barlowtf.augment import CropPlan
from barlowtf.data.rendering import EIGHT_BITS, Rendering
from barlowtf.data.source import Source

# Of larger images a crop is cheaper than its share of one product over a whole batch: measured, 64 images, both crops,
# processor time as a batch and singly: 128 x 128 pixels 95 and 112 ms, 240 x 320 200 and 133 ms.
_MOST_PIXELS_IN_BATCHES = 160 * 160


@dataclass(frozen=True)
class LocalPlan:
    """Local views: small crops of an image beside its two views.

    Attributes:
        crop: How one is cut from an image.
        count: Local views for each pair of views, K >= 1.
    """

    crop: CropPlan
    count: int


@dataclass(frozen=True)
class BatchPlan:
    """The batches of a training; with the data set and the step number it determines each of them.

    Attributes:
        batch_size: Global batch N, >= 1.
        channels: Channels of the images, >= 1.
        seed: Seed of the order and of the crops, in [0, 2**31).
        crop: How a crop is cut from an image.
        start_step: The first step, >= 0.
        total_steps: The step after the last; None: without end.
        first_epoch: Epoch of step 0, >= 0: another one has an order and crops of its own.
        workers: Number of images decoded at the same time; None: one for each core.
        local: Local views; None: there are none.
        rendering: Bits, white and background of the images.
    """

    batch_size: int
    channels: int
    seed: int
    crop: CropPlan
    start_step: int = 0
    total_steps: int | None = None
    first_epoch: int = 0
    workers: int | None = None
    local: LocalPlan | None = None
    rendering: Rendering = EIGHT_BITS


@dataclass(frozen=True)
class Share:
    """The part of each global batch that one input pipeline reads.

    Attributes:
        index: Which of the equal parts, in [0, count).
        count: Number of input pipelines over all workers.
        pieces: Number of consecutive batches into which this part is cut: replicas fed by one input pipeline.
    """

    index: int = 0
    count: int = 1
    pieces: int = 1


def crops_in_batches(source: Source) -> bool:
    """Returns whether the images lie in memory and are so small that whole batches of them are cropped at once."""
    shape = source.image_shape
    return shape is not None and shape[0] * shape[1] <= _MOST_PIXELS_IN_BATCHES
