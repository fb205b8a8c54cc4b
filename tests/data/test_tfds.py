"""TensorFlow Datasets, prepared in both formats from a data set that is made here; no network."""

import sys
import warnings

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import open_source
from barlowtf.data.tfds import tfds_source
from barlowtf.downloads import without_downloads
from barlowtf.errors import DataError

with warnings.catch_warnings():
    # Its import warns of its own dependencies.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

COUNTS = {"train": 11, "test": 3}


def picture(split, number):
    return np.random.default_rng([number, len(split)]).integers(0, 256, (6, 5, 3), np.uint8)


class BarlowtfTiny(tfds.core.GeneratorBasedBuilder):
    """Eleven pictures to train and three to test."""

    VERSION = tfds.core.Version("1.0.0")
    # No package beside this class to look for lists of checksums in.
    code_path = None

    def _info(self):
        features = tfds.features.FeaturesDict(
            {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=["no", "yes"]),
                "number": tf.int64,
            }
        )
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for number in range(COUNTS[split]):
            yield number, {"image": picture(split, number), "label": number % 2, "number": number}


class BarlowtfElsewhere(tfds.core.GeneratorBasedBuilder):
    """A data set that cannot be downloaded."""

    VERSION = tfds.core.Version("1.0.0")
    # No package beside this class to look for lists of checksums in.
    code_path = None

    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"image": tfds.features.Image()}))

    def _split_generators(self, dl_manager):
        raise OSError("no route to host\nand a long story")

    def _generate_examples(self):
        yield from ()


@pytest.fixture(params=["tfrecord", "array_record"])
def prepared(request, tmp_path, monkeypatch):
    if request.param == "array_record" and sys.platform != "linux":
        pytest.skip("array_record has wheels for Linux only")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with warnings.catch_warnings():
        # Writing warns of deprecated calls inside TensorFlow Datasets; reading, below, must not.
        warnings.simplefilter("ignore")
        builder = BarlowtfTiny(data_dir=str(tmp_path), file_format=request.param)
        builder.download_and_prepare()
    return builder


def test_every_example_is_read_by_its_number(prepared):
    source = open_source("tfds:barlowtf_tiny", "train")
    assert source.size == 11 and source.class_names == ("no", "yes")
    originals = {picture("train", number).tobytes(): number for number in range(11)}
    order = np.array([9, 0, 4, 4, *range(11)])
    images = tf.data.Dataset.from_tensor_slices(order).map(source.read, num_parallel_calls=2)
    numbers = [originals[tf.io.decode_png(image).numpy().tobytes()] for image in images]
    assert sorted(numbers[4:]) == list(range(11))
    assert numbers[:4] == [numbers[4:][index] for index in order[:4]]
    np.testing.assert_array_equal(source.labels, np.array(numbers[4:]) % 2)
    np.testing.assert_array_equal(source.labels_of(np.array([3, 1])), source.labels[[3, 1]])
    assert "barlowtf_tiny" in source.identify(2) and len(source.fingerprint) == 64


def test_test_split_and_version(prepared):
    assert open_source("tfds:barlowtf_tiny:1.0.0", "test").size == 3
    with pytest.raises(DataError, match="Cannot open tfds:barlowtf_tiny:9.9.9"):
        open_source("tfds:barlowtf_tiny:9.9.9", "train")


def test_unknown_data_set(tmp_path):
    with pytest.raises(DataError, match="Cannot open tfds:barlowtf_unknown") as caught:
        tfds_source("barlowtf_unknown", "train", str(tmp_path))
    assert "\n" not in str(caught.value)


def test_not_prepared_and_no_network(tmp_path):
    with pytest.raises(DataError, match="not prepared in .*no route to host. Run `tfds build") as caught:
        tfds_source("barlowtf_elsewhere", "train", str(tmp_path))
    assert "\n" not in str(caught.value)


def test_without_downloads_nothing_is_fetched(prepared, tmp_path):
    with without_downloads():
        assert open_source("tfds:barlowtf_tiny", "test").size == 3
        with pytest.raises(DataError, match="is not prepared in .*, and a dry run downloads nothing"):
            tfds_source("barlowtf_elsewhere", "train", str(tmp_path))
