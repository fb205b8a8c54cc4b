import base64
import io

import numpy as np
import pytest
from PIL import Image

from barlowtf.report.atlas import make_atlas, pick_queries
from barlowtf.report.contents import EmbeddedImages
from barlowtf.report.pictures import make_sprite, png_picture, shrink


def decoded(picture):
    head, _, content = picture.uri.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (10, 3), (28, 1), (64, 3)])
def test_sprite_holds_each_thumbnail_in_its_place(side, channels):
    values = np.arange(0, 250, 35, dtype=np.uint8)  # 8 images, each of one gray
    sprite = make_sprite(np.broadcast_to(values[:, None, None, None], (8, side, side, channels)))
    assert sprite.size == min(side, 40) and sprite.cell % 8 == 0
    sheet = decoded(sprite.picture)
    for number, value in enumerate(values):
        top, left = (sprite.cell * place for place in divmod(number, sprite.columns))
        cell = sheet[top : top + sprite.size, left : left + sprite.size]
        assert np.abs(cell.astype(int) - value).max() <= 3  # JPEG


def test_shrink_averages_and_shows_the_first_of_other_channels():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 4), np.uint8)
    small = shrink(images, 4)
    assert small.shape == (2, 4, 4, 1)
    means = images[..., 0].reshape(2, 4, 2, 4, 2).mean(axis=(2, 4))
    assert np.abs(small[..., 0] - means).max() <= 1
    assert shrink(images[..., :3], 8).shape == (2, 8, 8, 3)


def test_large_sprites_stay_small_enough_for_a_page():
    noise = np.random.default_rng(0).integers(0, 256, (1000, 48, 48, 3), np.uint8)
    assert len(make_sprite(noise).picture.uri) < 1_500_000


def test_png_keeps_every_pixel():
    array = np.random.default_rng(0).integers(0, 256, (5, 7, 1), np.uint8)
    np.testing.assert_array_equal(decoded(png_picture(array)), array[..., 0])


def embedded(labels, count=40):
    rng = np.random.default_rng(0)
    return EmbeddedImages(
        source="some test",
        split="test",
        ids=np.arange(100, 100 + count),
        thumbnails=rng.integers(0, 256, (count, 8, 8, 3), np.uint8),
        features=rng.normal(size=(count, 5)).astype(np.float32),
        labels=labels,
        class_names=("cat", "dog", "eel"),
    )


def test_atlas_tells_same_class_from_other():
    labels = np.arange(40) % 3
    atlas = make_atlas(embedded(labels))
    assert [(label, name) for label, name, _ in atlas.classes] == [(0, "cat"), (1, "dog"), (2, "eel")]
    for row in atlas.rows:
        mine = labels[row.query.number - 100]
        assert [near.same for near in row.neighbors] == [labels[near.number - 100] == mine for near in row.neighbors]
    assert 0 < atlas.same_class < 1


def test_atlas_without_labels_and_with_two_images():
    atlas = make_atlas(embedded(None, count=2))
    assert atlas.same_class is None and atlas.classes == []
    assert [[near.number for near in row.neighbors] for row in atlas.rows] == [[101], [100]]


def test_queries_are_the_first_of_spread_classes():
    assert pick_queries(embedded(np.arange(40) % 3)).tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    many = pick_queries(embedded(np.arange(40)[::-1] // 2))
    assert len(many) == 8 and many[0] == 38 and many[-1] == 0
