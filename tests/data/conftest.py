"""Small image files, and a plan of small batches."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from barlowtf.augment import CropPlan
from barlowtf.data import BatchPlan


def encode(pixels: np.ndarray, file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


@pytest.fixture
def make_plan() -> Callable[..., BatchPlan]:
    """A function of what differs from ten steps of four crops of 6 x 6 pixels."""
    crop = CropPlan(size=(6, 6), area=(0.2, 1.0))
    usual = {"batch_size": 4, "channels": 3, "seed": 11, "crop": crop, "total_steps": 10, "workers": 2}
    return lambda **changes: BatchPlan(**{**usual, **changes})


@pytest.fixture
def class_folders(tmp_path: Path) -> Path:
    """23 PNG files of different sizes in the class folders ant, bee and cow of train/; 4 in val/."""
    generator = np.random.default_rng(5)
    for split, count in (("train", 23), ("val", 4)):
        for number in range(count):
            folder = tmp_path / "set" / split / ("ant", "bee", "cow")[number % 3]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (8 + number % 3, 10, 3), np.uint8)
            (folder / f"{number:02d}.png").write_bytes(encode(pixels))
    return tmp_path / "set"
