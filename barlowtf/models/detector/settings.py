"""The numbers of a detector; the defaults are those of Faster R-CNN C4 in detectron2."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DetectorSettings:
    """What proposes, samples and keeps boxes.

    Attributes:
        anchor_sizes: Square roots of the anchors' areas, pixels.
        anchor_ratios: Heights of the anchors divided by their widths.
        anchors_sampled: Anchors of an image that the proposal network learns from, half of them positive at most.
        anchor_overlaps: Overlap below which an anchor is negative, and from which on it is positive.
        candidates: Proposals with the highest scores that suppression sees, in training and in inference.
        proposals: Proposals that it leaves, in training and in inference.
        proposal_overlap: Overlap beyond which the lower of two proposals is removed.
        regions: Proposals of an image that the head learns from.
        region_positives: Largest share of positives among them.
        region_overlap: Overlap with an object from which on a proposal is positive.
        score: Least score of a detection.
        detection_overlap: Overlap beyond which the lower of two detections of one class is removed.
        detections: Largest number of detections of an image.
        samples: Sample points of RoIAlign along each axis of a bin. detectron2's ratio 0 takes one for each pixel,
            which has no fixed shape.

    Source: facebookresearch/detectron2 config/defaults.py and configs/Base-RCNN-C4.yaml.
    """

    anchor_sizes: tuple[float, ...] = (32.0, 64.0, 128.0, 256.0, 512.0)
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    anchors_sampled: int = 256
    anchor_overlaps: tuple[float, float] = (0.3, 0.7)
    candidates: tuple[int, int] = (12_000, 6_000)
    proposals: tuple[int, int] = (2_000, 1_000)
    proposal_overlap: float = 0.7
    regions: int = 512
    region_positives: float = 0.25
    region_overlap: float = 0.5
    score: float = 0.05
    detection_overlap: float = 0.5
    detections: int = 100
    samples: int = 2

    @property
    def positive_regions(self) -> int:
        """Most positives among an image's regions; they come first."""
        return int(self.regions * self.region_positives)
