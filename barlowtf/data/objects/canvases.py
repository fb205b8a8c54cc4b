"""How large images become for a detector, and on which canvases of fixed size they lie together.

A compiled step has fixed shapes, so images of one batch are padded to a common canvas. Wide and tall images go into
batches of their own, because a canvas that holds both is mostly padding.
"""

from typing import NamedTuple

import numpy as np

from barlowtf.data.order import permutation

# Extents of canvases are multiples of the stride of any encoder's conv4.
_STEP = 32
_LARGEST_SEED = 2**31


class Batch(NamedTuple):
    """The images of a step."""

    numbers: np.ndarray  # int64 [B]
    canvas: tuple[int, int]  # height and width, pixels


def resized_extents(sizes: np.ndarray, short: int, longest: int) -> np.ndarray:
    """Returns height and width of images whose short side is scaled to a length, unless the long side is too long then.

    Args:
        sizes: Heights and widths, int64 [n, 2], pixels; 0, which is unknown, counts as 1.
        short: Length of the short side, pixels.
        longest: Largest length of the long side, pixels.

    Returns:
        int64 [n, 2], at least 1.

    Source: facebookresearch/detectron2 data/transforms/augmentation_impl.py, ResizeShortestEdge.
    """
    sizes = np.maximum(np.asarray(sizes, np.float64), 1.0)
    scale = np.minimum(short / sizes.min(axis=1), longest / sizes.max(axis=1))
    return np.maximum(np.floor(sizes * scale[:, None] + 0.5), 1).astype(np.int64)


def canvas_of(extents: np.ndarray) -> tuple[int, int]:
    """Returns height and width of the smallest canvas that holds all of some images [n, 2]."""
    height, width = (-(-np.asarray(extents).max(axis=0) // _STEP) * _STEP).tolist()
    return int(height), int(width)


class BatchOrder:
    """Which images come together in which step: a function of the seed and the number of the step.

    Each epoch takes the images in the order of (seed, epoch) and puts wide and tall ones into batches of their own.
    What is left of both fills mixed batches. Images that fill none, less than a batch, are left out of the epoch.

    Source: facebookresearch/detectron2 data/common.py, AspectRatioGroupedDataset.
    """

    def __init__(self, sizes: np.ndarray, *, batch_size: int, short: int, longest: int, seed: int) -> None:
        """Prepares the canvases.

        Args:
            sizes: Heights and widths of the images, int64 [N, 2], pixels.
            batch_size: Images of a step, 1 <= B <= N.
            short: Largest length of a short side, pixels.
            longest: Largest length of a long side, pixels.
            seed: In [0, 2**31).
        """
        self._wide = sizes[:, 1] > sizes[:, 0]
        extents = resized_extents(sizes, short, longest)
        groups = (extents[self._wide], extents[~self._wide], extents)
        self._canvases = [canvas_of(group) if len(group) else (0, 0) for group in groups]
        self._batch_size, self._seed, self._size = batch_size, seed, len(sizes)
        self.steps_per_epoch = self._size // batch_size
        # Of the last epoch that was looked at: a permutation of 100,000 images takes as long as a step.
        self._known: tuple[int, list[Batch]] = (-1, [])

    def batch(self, step: int) -> tuple[int, Batch]:
        """Returns the epoch of a step and its images.

        Args:
            step: Number of the step from the start of training, >= 0.
        """
        epoch, place = divmod(step, self.steps_per_epoch)
        known, batches = self._known
        if known != epoch:
            batches = self._batches(epoch)
            self._known = (epoch, batches)
        return epoch, batches[place]

    def _batches(self, epoch: int) -> list[Batch]:
        """Returns the batches of an epoch in their order."""
        order, size = permutation(self._size, seed=self._seed, epoch=epoch), self._batch_size
        batches, rest = [], np.zeros(self._size, bool)
        for group, canvas in zip((order[self._wide[order]], order[~self._wide[order]]), self._canvases, strict=False):
            whole = len(group) // size * size
            batches += [Batch(group[start : start + size], canvas) for start in range(0, whole, size)]
            rest[group[whole:]] = True
        mixed = order[rest[order]]
        whole = len(mixed) // size * size
        batches += [Batch(mixed[start : start + size], self._canvases[2]) for start in range(0, whole, size)]
        # Another seed, so that the order of the batches is not that of the images.
        place = permutation(len(batches), seed=(self._seed + 1) % _LARGEST_SEED, epoch=epoch)
        return [batches[number] for number in place]
