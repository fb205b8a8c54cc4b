"""What a sample shows, against images whose pixels are known."""

import io

import numpy as np
import pytest
from PIL import Image

from barlowtf.data import ArraySource, open_source
from barlowtf.data.sample import sample_facts
from barlowtf.errors import DataError
from tests.data.conftest import encode

GENERATOR = np.random.default_rng(3)
COLOR = GENERATOR.integers(0, 256, (12, 20, 3), np.uint8)
GRAY = GENERATOR.integers(0, 256, (30, 8), np.uint8)


def facts_of(tmp_path, **files):
    for name, content in files.items():
        (tmp_path / name.replace("_", ".")).write_bytes(content)
    return sample_facts(open_source(str(tmp_path), "train"))


def test_colors_and_gray_together(tmp_path):
    facts = facts_of(tmp_path, a_png=encode(COLOR), b_png=encode(GRAY))
    assert (facts.images, facts.sampled, facts.unreadable) == (2, 2, 0)
    assert (facts.heights, facts.widths) == ((12, 21, 30), (8, 14, 20))
    assert (facts.channels, facts.stored_channels, facts.kinds) == (3, {3: 1, 1: 1}, {"PNG": 2})
    assert (facts.bits, facts.white, facts.is_gray, facts.has_alpha) == (8, 65535, False, False)
    pixels = np.concatenate([COLOR.reshape(-1, 3), np.repeat(GRAY.reshape(-1, 1), 3, axis=1)]) / 255
    np.testing.assert_allclose(facts.mean, pixels.mean(0), atol=1e-4)
    np.testing.assert_allclose(facts.std, pixels.std(0), atol=1e-4)
    assert not facts.has_labels and facts.classes is None


def test_gray_written_as_color_is_gray(tmp_path):
    facts = facts_of(tmp_path, a_png=encode(np.repeat(GRAY[..., None], 3, axis=2)), b_png=encode(GRAY))
    assert facts.is_gray and facts.channels == 3


def test_alpha_does_not_count_as_a_channel(tmp_path):
    pixels = np.concatenate([COLOR, np.zeros((12, 20, 1), np.uint8)], axis=2)
    facts = facts_of(tmp_path, a_png=encode(pixels))
    assert (facts.channels, facts.stored_channels, facts.has_alpha) == (3, {4: 1}, True)
    # All of it is transparent, so white is seen.
    assert facts.mean == (1.0, 1.0, 1.0)


def test_twelve_bits_in_sixteen_are_seen(tmp_path):
    deep = GENERATOR.integers(0, 4096, (9, 9), np.uint16)
    deep[0, 0] = 4000
    facts = facts_of(tmp_path, a_png=encode(deep))
    assert (facts.bits, facts.white, facts.channels) == (16, 4095, 1)
    np.testing.assert_allclose(facts.mean, [deep.mean() / 4095], atol=1e-4)


def test_sixteen_bit_color_png_keeps_its_bits(tmp_path):
    import tensorflow as tf

    deep = GENERATOR.integers(0, 65536, (9, 7, 3), np.uint16)
    facts = facts_of(tmp_path, a_png=tf.io.encode_png(deep).numpy())
    assert (facts.bits, facts.white, facts.channels) == (16, 65535, 3)
    np.testing.assert_allclose(facts.std, deep.reshape(-1, 3).std(0) / 65535, atol=1e-4)


def test_a_phone_held_upright(tmp_path):
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOR).save(buffer, "JPEG", exif=exif)
    facts = facts_of(tmp_path, a_jpg=buffer.getvalue())
    assert (facts.heights[0], facts.widths[0]) == (20, 12)


def test_unreadable_images_are_counted_and_named(tmp_path):
    facts = facts_of(tmp_path, a_png=encode(COLOR), b_png=b"no image", c_jpg=b"")
    assert (facts.sampled, facts.unreadable) == (3, 2)
    assert [name.rpartition("/")[2] for name in facts.problems] == ["b.png", "c.jpg"]
    assert all("\n" not in reason and "object at" not in reason for reason in facts.problems.values())
    (tmp_path / "a.png").unlink()
    with pytest.raises(DataError, match=r"Cannot read any of 2 images of .*b\.png"):
        sample_facts(open_source(str(tmp_path), "train"))


def test_a_sample_of_decoded_images_with_labels():
    images = GENERATOR.integers(0, 256, (50, 6, 6, 5), np.uint8)
    source = ArraySource("x", images, np.arange(50) % 4)
    facts = sample_facts(source, count=10)
    assert (facts.images, facts.sampled, facts.channels, facts.kinds) == (50, 10, 5, {"array": 10})
    assert facts.has_labels and facts.classes == 4
    assert facts == sample_facts(source, count=10) != sample_facts(source, count=10, seed=1)


def test_one_value_throughout_has_a_deviation_to_divide_by(tmp_path):
    facts = facts_of(tmp_path, a_png=encode(np.full((4, 4), 255, np.uint8)))
    assert facts.mean == (1.0,) and facts.std[0] > 0
