"""What TensorBoard's embedding projector reads."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from barlowtf.report import EmbeddedImages, write_projector


@pytest.fixture
def images():
    thumbnails = np.zeros((5, 80, 80, 3), np.uint8)
    thumbnails[:] = (40 * np.arange(5, dtype=np.uint8))[:, None, None, None]
    features = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    labels = np.array([0, 1, 1, 0, 1])
    return EmbeddedImages(
        "photos", "test", np.array([3, 5, 7, 8, 9]), thumbnails, features, labels, ("a\tcat", "dog\n")
    )


def read_table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_points_have_their_names_and_their_pictures(images, tmp_path):
    folder = tmp_path / "tensorboard"
    write_projector(folder, images)
    (embedding,) = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings
    values = np.array(read_table(folder / embedding.tensor_path), np.float32)
    np.testing.assert_allclose(values, images.features, rtol=1e-5)  # Six digits are written.
    expected = [["class", "number"], ["a cat", "3"], ["dog", "5"], ["dog", "7"], ["a cat", "8"], ["dog", "9"]]
    assert read_table(folder / embedding.metadata_path) == expected
    assert list(embedding.sprite.single_image_dim) == [64, 64]
    with Image.open(folder / embedding.sprite.image_path) as picture:
        pixels = np.asarray(picture)
    # Row by row, three in a row.
    assert pixels.shape == (128, 192, 3)
    assert [pixels[64 * (i // 3) + 5, 64 * (i % 3) + 5, 0] for i in range(5)] == [0, 40, 80, 120, 160]


def test_names_stay_in_their_cells_and_links_are_not_written_through(images, tmp_path):
    write_projector(tmp_path / "a", replace(images, class_names=("\x1b[31m\u202ecat", "<b>dog\r\n")))
    assert [row[0] for row in read_table(tmp_path / "a" / "labels.tsv")[1:3]] == [r"\x1b[31m\u202ecat", "<b>dog"]
    (tmp_path / "victim").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "victim")
    with pytest.raises(OSError, match="is a symbolic link"):
        write_projector(tmp_path / "linked", images)
    assert not list((tmp_path / "victim").iterdir())


def test_images_without_labels_have_their_numbers(images, tmp_path):
    # One column has no heading, as the page expects.
    write_projector(tmp_path, replace(images, labels=None, class_names=None))
    assert read_table(tmp_path / "labels.tsv") == [["3"], ["5"], ["7"], ["8"], ["9"]]


def test_classes_without_a_name(images, tmp_path):
    write_projector(tmp_path, replace(images, class_names=None))
    assert read_table(tmp_path / "labels.tsv")[1:3] == [["0", "3"], ["1", "5"]]
