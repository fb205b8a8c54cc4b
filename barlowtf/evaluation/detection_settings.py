"""Settings of the protocols detection and segmentation, and the recipes that the paper takes them from."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from barlowtf.config.section import Count, NonNegative, Positive, Probability, Section
from barlowtf.models.detector import DetectorSettings

# Without a longest side worth a name: an image of this side has 16 million pixels.
_LARGEST_SIDE = 4096
Side = Annotated[int, Field(ge=32, le=_LARGEST_SIDE)]
# Tens of times the published numbers; more than this is a slip, and no machine's memory holds it.
Boxes = Annotated[int, Field(ge=1, le=100_000)]
_OF_DETECTRON2 = DetectorSettings()


class DetectionSettings(Section):
    """Settings of Faster R-CNN C4 and Mask R-CNN C4; the defaults are those of `voc-detection`."""

    steps: Count = Field(24_000, description="updates, for `reference_batch` images each")
    drops: tuple[Count, ...] = Field((18_000, 22_000), description="updates after which the rate is a tenth")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(1_000, description="updates over which the rate rises")
    warmup_share: Probability = Field(1 / 3, description="share of the rate with which its rise begins")
    learning_rate: Positive = Field(0.1, description="rate for `reference_batch` images")
    reference_batch: Count = Field(16, description="images of an update for which steps and rate are meant")
    batch_size: Count = Field(
        16,
        description="images of an update, over all replicas; rate and steps follow it, so that as many images are seen",
    )
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="momentum of SGD")
    weight_decay: NonNegative = Field(1e-4, description="weight decay of all but normalizations")
    short_sides: tuple[Side, ...] = Field(
        tuple(range(480, 801, 32)), min_length=1, description="short sides of training images to draw from, pixels"
    )
    longest: Side = Field(1_333, description="largest long side, pixels")
    test_short_side: Side = Field(800, description="short side of test images, pixels")
    flip: Probability = Field(0.5, description="probability of a mirror image")
    anchor_sizes: tuple[Positive, ...] = Field(
        _OF_DETECTRON2.anchor_sizes, min_length=1, description="sides of the square anchors, pixels"
    )
    anchor_ratios: tuple[Positive, ...] = Field(
        _OF_DETECTRON2.anchor_ratios, min_length=1, description="heights of anchors divided by widths"
    )
    anchors_sampled: Boxes = Field(_OF_DETECTRON2.anchors_sampled, description="anchors of an image to learn from")
    candidates: tuple[Boxes, Boxes] = Field(
        _OF_DETECTRON2.candidates, description="proposals before suppression, in training and in the test"
    )
    proposals: tuple[Boxes, Boxes] = Field(
        _OF_DETECTRON2.proposals, description="proposals behind suppression, in training and in the test"
    )
    regions: Annotated[int, Field(ge=4, le=10_000)] = Field(
        _OF_DETECTRON2.regions, description="proposals to learn from"
    )
    detections: Annotated[int, Field(ge=1, le=10_000)] = Field(
        _OF_DETECTRON2.detections, description="largest number of detections of an image"
    )
    most_objects: Annotated[int, Field(ge=1, le=10_000)] = Field(
        200, description="objects of an image to learn from; of more, the largest"
    )
    measure: Literal["voc", "coco"] = Field(
        "voc", description="whose average precision: VOC 2007's with 11 points, or COCO's (extra detection)"
    )

    @model_validator(mode="after")
    def _hold_together(self) -> Self:
        if list(self.drops) != sorted(self.drops):
            raise ValueError(f"drops are rising numbers of updates, received {list(self.drops)}")
        if max(*self.short_sides, self.test_short_side) > self.longest:
            raise ValueError(
                f"longest is {self.longest}, expected at least the short sides, up to "
                f"{max(*self.short_sides, self.test_short_side)}"
            )
        return self

    @property
    def share(self) -> float:
        """Images of an update divided by those for which steps and rate are meant."""
        return self.batch_size / self.reference_batch

    def scaled(self, steps: int) -> int:
        """Returns how many updates of `batch_size` images are as many images as `steps` of `reference_batch`."""
        return max(round(steps / self.share), 1 if steps else 0)

    @property
    def detector(self) -> DetectorSettings:
        """The numbers of the model."""
        return DetectorSettings(
            anchor_sizes=self.anchor_sizes,
            anchor_ratios=self.anchor_ratios,
            anchors_sampled=self.anchors_sampled,
            candidates=self.candidates,
            proposals=self.proposals,
            regions=self.regions,
            detections=self.detections,
        )


# The 1x schedule: 90,000 updates, drops at 60,000 and 80,000; its rise begins as detectron2's does.
COCO_C4 = DetectionSettings(
    steps=90_000,
    drops=(60_000, 80_000),
    warmup_share=0.001,
    learning_rate=0.03,
    short_sides=tuple(range(640, 801, 32)),
    measure="coco",
)
# For a few hundred images of a few objects and a processor.
SMALL: dict[str, Any] = {
    "steps": 400,
    "drops": (300, 360),
    "warmup_steps": 40,
    "learning_rate": 0.02,
    "reference_batch": 2,
    "batch_size": 2,
    "short_sides": (208, 224, 240, 256),
    "longest": 416,
    "test_short_side": 240,
    "anchor_sizes": (16.0, 32.0, 64.0, 128.0),
    "anchors_sampled": 128,
    "candidates": (1_000, 600),
    "proposals": (300, 150),
    "regions": 64,
    "measure": "coco",
}
