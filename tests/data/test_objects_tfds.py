"""Images with boxes in data sets of TensorFlow Datasets; no network."""

import warnings

import numpy as np
import pytest

from barlowtf.data import open_objects
from barlowtf.errors import DataError, NoTestSplitError

with warnings.catch_warnings():
    # Its import warns of its own dependencies.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

WIDTH, HEIGHT = 20, 10


class TinyObjects(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Objects of each image as class and ymin, xmin, ymax, xmax."""

    VERSION = tfds.core.Version("1.0.0")
    # No package beside this class to look for lists of checksums in.
    code_path = None
    MARKS = {"is_difficult": np.bool_}
    NAME = {"image/filename": tfds.features.Text()}
    SPLITS = {}

    def _info(self):
        label = tfds.features.ClassLabel(names=["cat", "dog"])
        objects = {"label": label, "bbox": tfds.features.BBoxFeature(), **self.MARKS}
        features = {"image": tfds.features.Image(), "objects": tfds.features.Sequence(objects), **self.NAME}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.splits()}

    def splits(self):
        return self.SPLITS

    def _generate_examples(self, split):
        for number, objects in enumerate(self.splits()[split]):
            listed = [
                {"label": name, "bbox": tfds.features.BBox(*box), **{mark: name == "dog" for mark in self.MARKS}}
                for name, box in objects
            ]
            yield (
                number,
                {
                    "image": np.full((HEIGHT, WIDTH, 3), number + 10 * len(split), np.uint8),
                    "objects": listed,
                    **self.identity(split, number),
                },
            )

    def identity(self, split, number):
        return {"image/filename": f"{self.builder_config.name}_{split}{number}.jpg"}


def voc_box(xmin, ymin, xmax, ymax):
    """Returns a box as VOC's builder divides it."""
    return ymin / HEIGHT, xmin / WIDTH, ymax / HEIGHT, xmax / WIDTH


class Voc(TinyObjects):
    """The years of VOC: the test images of the second one have no annotations."""

    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name=year, version="1.0.0") for year in ("2007", "2012")]

    def splits(self):
        dog, cat = ("dog", voc_box(3, 2, 6, 5)), ("cat", voc_box(1, 1, 20, 10))
        if self.builder_config.name == "2007":
            return {"train": [[dog, cat], []], "validation": [[cat]], "test": [[dog], [cat]]}
        return {"train": [[dog]], "validation": [[cat], [cat]], "test": [[], [], []]}


class BarlowtfTinyCoco(TinyObjects):
    MARKS = {"is_crowd": np.bool_, "area": np.int64}
    NAME = {"image/id": np.int64}
    SPLITS = {"train": [[("dog", (0.0, 0.0, 1.0, 1.0)), ("cat", (0.1, 0.25, 0.5, 0.75))]]}

    def identity(self, split, number):
        return {"image/id": 500 + number}


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """Prepares data sets in a folder of their own."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def prepare(builder, **settings):
        with warnings.catch_warnings():
            # Writing warns of deprecated calls inside TensorFlow Datasets; reading must not.
            warnings.simplefilter("ignore")
            builder(data_dir=str(tmp_path), **settings).download_and_prepare()

    return prepare


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_voc(prepared, file_format):
    prepared(Voc, config="2007", file_format=file_format)
    train, test = (open_objects("tfds:voc/2007", split) for split in ("train", "test"))
    assert train.size == 3 and test.size == 2 and train.class_names == ("cat", "dog") and train.category_ids == (1, 2)
    by_name = dict(zip(train.image_ids, train.objects, strict=True))
    assert set(by_name) == {"2007_train0", "2007_train1", "2007_validation0"}
    found = by_name["2007_train0"]
    # As in VOC's files: pixels from 1, the last one included.
    np.testing.assert_array_equal(found.boxes, np.array([[2, 1, 6, 5], [0, 0, 20, 10]], np.float32))
    np.testing.assert_array_equal(found.labels, [1, 0])
    np.testing.assert_array_equal(found.difficult, [True, False])
    np.testing.assert_array_equal(found.areas, [16, 200])
    assert by_name["2007_train1"].boxes.shape == (0, 4) and not train.has_masks
    np.testing.assert_array_equal(train.sizes, [[HEIGHT, WIDTH]] * 3)
    assert open_objects("tfds:voc/2007", "train").fingerprint == train.fingerprint != test.fingerprint


def test_a_test_split_without_objects_is_no_test_split(prepared):
    prepared(Voc, config="2012")
    train, test = (open_objects("tfds:voc/2012", split) for split in ("train", "test"))
    assert train.image_ids == ("2012_train0",) and set(test.image_ids) == {"2012_validation0", "2012_validation1"}


@pytest.mark.parametrize("spec", ["tfds:voc/2007+2012", "tfds:voc/2007+voc/2012"])
def test_two_years(prepared, spec):
    for year in ("2007", "2012"):
        prepared(Voc, config=year)
    train, test = (open_objects(spec, split) for split in ("train", "test"))
    assert train.size == 6 and {name[:4] for name in train.image_ids} == {"2007", "2012"}
    assert set(test.image_ids) == {"2007_test0", "2007_test1"}


def test_coco(prepared):
    prepared(BarlowtfTinyCoco)
    train = open_objects("tfds:barlowtf_tiny_coco", "train")
    (found,) = train.objects
    np.testing.assert_array_equal(found.boxes, np.array([[0, 0, 20, 10], [5, 1, 15, 5]], np.float32))
    np.testing.assert_array_equal(found.crowd, [True, False])
    # The areas of the generator above: 1 and 0.
    np.testing.assert_array_equal(found.areas, [1, 0])
    assert train.image_ids == (500,) and not found.difficult.any()
    with pytest.raises(NoTestSplitError, match="received splits train, expected train, and validation or test"):
        open_objects("tfds:barlowtf_tiny_coco", "test")
    with pytest.raises(DataError, match="Cannot open tfds:barlowtf_tiny_coco:9.9.9"):
        open_objects("tfds:barlowtf_tiny_coco:9.9.9", "train")


class BarlowtfTinyPlain(TinyObjects):
    def _info(self):
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict({"image": tfds.features.Image()}))

    def _generate_examples(self, split):
        yield 0, {"image": np.zeros((2, 2, 3), np.uint8)}

    SPLITS = {"train": []}


def test_data_sets_without_boxes(prepared):
    prepared(BarlowtfTinyPlain)
    with pytest.raises(DataError, match="received features image, expected image, objects/bbox and objects/label"):
        open_objects("tfds:barlowtf_tiny_plain", "train")


class BarlowtfTinyUnknown(TinyObjects):
    SPLITS = {"train": [[("cat", (0.0, 0.0, 1.0, 1.0)), (-1, (0.0, 0.0, 1.0, 1.0))]]}
    MARKS = {}

    def identity(self, split, number):
        return {"image/filename": "a.jpg"}


def test_objects_without_a_class(prepared):
    prepared(BarlowtfTinyUnknown)
    with pytest.raises(DataError, match="1 of 2 objects have no class, the first -1, expected 0 to 1"):
        open_objects("tfds:barlowtf_tiny_unknown", "train")


def test_damaged_records_are_left_out(prepared, tmp_path, caplog):
    prepared(Voc, config="2007")
    (path,) = tmp_path.glob("voc/2007/1.0.0/*train.tfrecord*")
    content = bytearray(path.read_bytes())
    content[-9] ^= 255  # in the last record
    path.write_bytes(bytes(content))
    train = open_objects("tfds:voc/2007", "train")
    assert train.size == 2 and len(train.image_ids) == len(train.objects) == 2
    assert "1 of 3 records of tfds:voc/2007 train cannot be read, e.g." in caplog.text
