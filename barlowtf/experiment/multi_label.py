"""Training and test images of several labels, for voc07."""

from dataclasses import dataclass

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
