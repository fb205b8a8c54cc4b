"""Symmetries of images whose symmetries are known, and the size of things of known size."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from barlowtf import data
from barlowtf.choosing import look_at


def discs(count, side=192, diameter=30, seed=0):
    """Images of many discs at random places, lit from above."""
    r = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = Image.new("L", (side, side), 200)
        draw = ImageDraw.Draw(image)
        for _ in range(24):
            x, y = r.uniform(-diameter / 2, side, 2)
            draw.ellipse([x, y, x + diameter, y + diameter], fill=int(r.integers(60, 120)))
        lit = np.asarray(image, float) - np.linspace(0, 40, side)[:, np.newaxis] + r.normal(0, 3, (side, side))
        images.append(np.clip(lit, 0, 255).astype(np.uint8)[..., np.newaxis])
    return np.stack(images)


def landscapes(count, side=64, seed=0):
    """Images with a busy lower part."""
    r = np.random.default_rng(seed)
    rows = np.linspace(0, 1, side)[:, np.newaxis] > r.uniform(0.3, 0.6, (count, 1, 1))
    noise = r.normal(128, 40, (count, side, side)) * rows + 128 * ~rows + r.normal(0, 5, (count, side, side))
    return np.clip(noise, 0, 255).astype(np.uint8)[..., np.newaxis]


@pytest.fixture(scope="module")
def cells():
    return look_at(data.ArraySource("cells", discs(240)))


@pytest.mark.slow
def test_discs_have_no_upright_whatever_the_lamp(cells):
    assert not cells.has_upright
    assert not cells.sideways.broken


def test_the_size_of_discs_is_found(cells):
    # The autocorrelation of discs ends at their diameter; what changes slowly is taken out, so it crosses 0 before.
    assert 0.5 * 30 / 192 <= cells.thing <= 1.1 * 30 / 192


def test_landscapes_have_an_upright_and_mirror_images():
    look = look_at(data.ArraySource("landscapes", landscapes(128)))
    assert look.has_upright and look.transposed.broken
    assert not look.sideways.broken


def test_digits_have_a_left_and_a_right():
    look = look_at(data.open_source("digits", "train"))
    assert look.sideways.broken and look.has_upright
    assert look.thing is None  # 8 pixels are too few to say.


def test_few_images_say_nothing():
    look = look_at(data.ArraySource("few", discs(8)))
    assert not look.transposed.holds and look.has_upright


def test_the_same_sample_looks_the_same():
    source = data.ArraySource("landscapes", landscapes(70))
    assert look_at(source) == look_at(source)


def test_unreadable_images_are_passed_over(tmp_path):
    for number, pixels in enumerate(landscapes(6)):
        Image.fromarray(pixels[..., 0]).save(tmp_path / f"{number}.png")
    (tmp_path / "7.png").write_bytes(b"no image")
    assert look_at(data.open_source(str(tmp_path), "train")).has_upright
