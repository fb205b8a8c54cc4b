"""Published numbers of a protocol, and what makes a result comparable to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from barlowtf.records import EncoderFacts, Subset


@dataclass(frozen=True)
class Published:
    """Published numbers of a protocol.

    Attributes:
        scores: Name of a measure -> value.
        data: TensorFlow Datasets' name of the data set that they are for; "": it is not among them.
        label_list: sha256 of the file that lists the labeled images that they are for; "": all images, or no list.
        test_images: Number of test images of that data set, which with the list identifies it wherever it lies.
        variants: Names of the variants that are the published settings.
        parameters: Parameters and running statistics of the published encoder. Default: a ResNet-50's.
        image_size: Height and width of its images, pixels.
        encoder: What to call it.
    """

    scores: Mapping[str, float]
    data: str = ""
    label_list: str = ""
    test_images: int = 50_000
    variants: tuple[str, ...] = ("repository", "paper")
    parameters: int = 23_561_152
    image_size: int = 224
    encoder: str = "ResNet-50"

    def is_for(self, source: str, test_images: int, subset: Subset | None) -> bool:
        """Returns whether the numbers are for these images; those of other images say nothing and are not shown.

        Args:
            source: SPEC of the data.
            test_images: Number of test images.
            subset: How the labels were chosen; None: all of the data's.
        """
        if not self.data:
            # Nobody can tell: the numbers stand beside the results with that objection.
            return True
        return self._has_its_list(test_images, subset) or ":".join(source.split(":")[:2]) == f"tfds:{self.data}"

    def _has_its_list(self, test_images: int, subset: Subset | None) -> bool:
        # Every name of the published list was found: the data is the published one, wherever it lies.
        listed = None if subset is None else subset.list_sha256
        return bool(listed) and listed == self.label_list and test_images == self.test_images

    def objection(
        self,
        *,
        source: str,
        variant: str,
        changes: Sequence[str],
        encoder: EncoderFacts,
        test_images: int,
        subset: Subset | None = None,
    ) -> str | None:
        """Returns why the numbers are not comparable to a result; None where they are.

        Args:
            source: SPEC of the data.
            variant: Name of the variant.
            changes: Settings that differ from it.
            encoder: The encoder that was measured.
            test_images: Number of test images.
            subset: How the labels were chosen; None: all of the data's.
        """
        reasons = []
        if not self.data:
            reasons.append("the data cannot be checked to be those of the paper")
        if not self.is_for(source, test_images, subset):
            reasons.append(f"other data than tfds:{self.data}")
        if subset is not None and not self._has_its_list(test_images, subset):
            reasons.append("other labeled images than the published ones")
        if variant not in self.variants:
            reasons.append("other variant")
        if changes:
            reasons.append("settings changed")
        if encoder.parameters != self.parameters or encoder.image_shape[0] != self.image_size:
            reasons.append(f"other encoder than a {self.encoder} at {self.image_size} pixels")
        return ", ".join(reasons) or None
