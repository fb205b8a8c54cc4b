"""A user's own data source, from a folder outside the package, through everything that reads data."""

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import (
    SourceKind,
    TrainingBatches,
    center_views,
    labeled,
    labeled_batches,
    open_multi_label,
    open_source,
    preload,
)
from barlowtf.errors import DataError
from barlowtf.experiment import describe_data
from barlowtf.tables import SOURCES, source_syntax
from tests.examples import example

SPEC = "my_source.py:photos"


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """The current folder: the example's file beside nine images to train on."""
    (tmp_path / "my_source.py").write_text(example("my_source.py"))
    (tmp_path / "photos" / "train").mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 10, 3), np.uint8)
    for number, image in enumerate(images):
        np.save(tmp_path / "photos" / "train" / f"{('ant', 'bee')[number % 2]}_{number}.npy", image)
    monkeypatch.chdir(tmp_path)
    return images


def test_the_example_serves_training_evaluation_and_the_command_that_shows_data(outside, make_plan):
    source = open_source(SPEC, "train")
    assert open_source(SPEC, "test") is None
    assert (source.size, source.class_names) == (9, ("ant", "bee"))
    assert source.labels.tolist() == [0] * 5 + [1] * 4
    order = [0, 2, 4, 6, 8, 1, 3, 5, 7]
    np.testing.assert_array_equal(source.read(tf.constant(3, tf.int64)), outside[order[3]])
    np.testing.assert_array_equal(preload(source, 3).read(tf.range(9)), outside[order])
    crops_a, _, _ = next(TrainingBatches(source, make_plan()))
    assert crops_a.shape == (4, 6, 6, 3)
    crops, labels = next(labeled_batches(labeled(source), make_plan()))
    assert crops.shape == (4, 6, 6, 3) and set(labels.numpy()) <= {0, 1}
    (views,) = center_views(source, np.arange(9), size=8, channels=1, batch_size=9)
    assert views.shape == (9, 8, 8, 1)
    facts = describe_data(SPEC)
    assert (facts.images, facts.images_per_class) == (9, (5, 4))
    with pytest.raises(DataError, match="one class each, expected images with several classes"):
        open_multi_label(SPEC, "train")


def test_a_kind_of_ones_own_opens_images_of_several_classes_too(outside, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from barlowtf.data import SourceKind\n"
        "def one(rest, split): return 'one', rest, split\n"
        "def several(rest, split): return 'several', rest, split\n"
        "KIND = SourceKind('', one, several)\n"
    )
    assert open_source("mine.py:KIND", "test") == ("one", "", "test")
    assert open_multi_label("mine.py:KIND", "train") == ("several", "", "train")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def SOURCE(split): return [1]", r"received \[1\] for split \"train\", expected a barlowtf.data.Source"),
        ("def SOURCE(split): return None", r"received None for split \"train\""),
        ("def SOURCE(split): raise RuntimeError('no disk\\nand more')", "RuntimeError: no disk$"),
        ("SOURCE = 3", "received a int, expected a function from the split"),
        ("OTHER = 3", "does not define 'SOURCE'.*Expected digits, tfds:NAME"),
    ],
)
def test_own_sources_that_cannot_be_used(tmp_path, code, message):
    file = tmp_path / "broken.py"
    file.write_text(code)
    with pytest.raises(DataError, match=message) as caught:
        open_source(f"{file}:SOURCE", "train")
    assert "\n" not in str(caught.value)


def test_a_mistyped_prefix_lists_what_there_is():
    with pytest.raises(DataError, match="No module named 'tdfs'.*Expected digits, tfds:NAME"):
        open_source("tdfs:cifar10", "train")
    # A prefix of the table is never a module of one's own.
    with pytest.raises(DataError, match="No files match os"):
        open_source("tfrecord:os", "train")


def test_the_table_gives_the_text_for_help():
    assert source_syntax() == (
        "digits, tfds:NAME[/CONFIG][:VERSION], tfrecord:GLOB, npy:FILE, table:FILE, FOLDER, or your own FILE.py:NAME "
        "or PACKAGE.MODULE:NAME"
    )
    assert all(isinstance(kind, SourceKind) for kind in SOURCES.values())
