"""Faster and Mask R-CNN C4: an encoder's trunk, a region proposal network, and its last stage as the head."""

from barlowtf.models.detector.detector import DetectionBatch, Detector
from barlowtf.models.detector.regions import FoundObjects
from barlowtf.models.detector.settings import DetectorSettings
from barlowtf.models.detector.splitting import SplitEncoder, split_encoder

__all__ = ["DetectionBatch", "Detector", "DetectorSettings", "FoundObjects", "SplitEncoder", "split_encoder"]
