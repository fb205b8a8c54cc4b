"""Training and test images of several labels, for voc07."""

from dataclasses import dataclass

import numpy as np

from barlowtf import data
from barlowtf.data import MultiLabelSet, open_multi_label
from barlowtf.errors import DataError


@dataclass(frozen=True)
class MultiLabelSplits:
    """Both splits; the same attributes as `Splits` where they mean the same."""

    train: MultiLabelSet
    test: MultiLabelSet

    @property
    def class_count(self) -> int:
        """K."""
        return len(self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """[K]."""
        return self.train.class_names

    @property
    def fingerprints(self) -> dict[str, str]:
        """Split -> sha256 over images and targets."""
        return {"train": self.train.fingerprint, "test": self.test.fingerprint}


def require_readable(splits: MultiLabelSplits) -> None:
    """Reads all images once.

    Raises:
        DataError: Some cannot be read. They are not left out, as that would change the protocol's test.
    """
    for split in (splits.train, splits.test):
        ids = np.arange(split.size, dtype=np.int64)
        lost = np.setdiff1d(ids, data.readable_ids(split.source, ids, channels=3))
        if len(lost):
            names = ", ".join(split.source.identify(int(number)) for number in lost[:5])
            raise DataError(
                f"{len(lost)} of {split.size} images of {split.source.name} cannot be read: {names}. Copy them again, "
                "or take them out of the lists."
            )


def open_multi_label_splits(spec: str) -> MultiLabelSplits:
    """Returns both splits of a data set.

    Raises:
        DataError: It cannot be read, or its splits have other classes.
    """
    train, test = (open_multi_label(spec, split) for split in ("train", "test"))
    if train.class_names != test.class_names:
        differing = sorted(set(train.class_names) ^ set(test.class_names))
        raise DataError(
            f"Training and test images of {spec} have other classes. Received {', '.join(differing[:5])} in one alone "
            "or another order. Expected the same classes in the same order."
        )
    return MultiLabelSplits(train, test)
