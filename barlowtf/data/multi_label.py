"""Images that may show several classes at once, as in VOC 2007."""

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

from barlowtf.data.source import Source
from barlowtf.errors import DataError

PRESENT, DIFFICULT, ABSENT = 1, 0, -1


@dataclass(frozen=True)
class MultiLabelSet:
    """Images and which classes each of them shows.

    Attributes:
        source: The images; `source.has_labels` is False, because a label there is one class per image.
        targets: int8 [M, K], M = `source.size`: 1 the image shows the class, -1 it does not, 0 difficult (VOC: only
            objects of the class that are hard to recognize), which a test leaves out.
        class_names: The K classes.
    """

    source: Source
    targets: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks that the parts agree.

        Raises:
            ValueError: `targets` is not int8 [M, K].
            DataError: There is no class, or one without a single positive image.
        """
        if not self.class_names:
            raise DataError(f"No classes in {self.source.name}: expected at least one.")
        shape = (self.source.size, len(self.class_names))
        if self.targets.dtype != np.int8 or self.targets.shape != shape:
            raise ValueError(
                f"Invalid targets: received {self.targets.dtype} {self.targets.shape}, expected int8 {shape}."
            )
        positives = np.count_nonzero(self.targets == PRESENT, axis=0)
        lacking = [name for name, count in zip(self.class_names, positives, strict=True) if count == 0]
        if lacking:
            raise DataError(
                f"No image of {', '.join(lacking)} in {self.source.name} (difficult ones do not count): expected at "
                "least one of each class in train and in test. Complete the labels, or leave the class out."
            )

    @property
    def size(self) -> int:
        """Number of images, M."""
        return self.source.size

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256, 64 hexadecimal digits, over images, targets and class names."""
        digest = hashlib.sha256(self.source.fingerprint.encode())
        digest.update("\0".join(self.class_names).encode("utf-8", "surrogateescape"))
        digest.update(self.targets.tobytes())
        return digest.hexdigest()
