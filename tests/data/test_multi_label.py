"""Images with several classes: VOC folders, tables, and TensorFlow Datasets; no network."""

import warnings

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from barlowtf.data import MultiLabelSet, open_multi_label
from barlowtf.errors import DataError

with warnings.catch_warnings():
    # Its import warns of its own dependencies.
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

TARGETS = {
    "trainval": {"cat": {"000005": -1, "000007": 1, "000012": 0}, "ant": {"000005": 1, "000007": 1, "000012": -1}},
    "test": {"cat": {"000001": 1, "000002": 0}, "ant": {"000001": -1, "000002": 1}},
}


def write_image(path, shade):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 5, 3), shade, np.uint8)).save(path)


@pytest.fixture
def voc(tmp_path):
    """VOCdevkit/VOC2007 with two classes; beside their lists those that the real one has too."""
    folder = tmp_path / "VOCdevkit" / "VOC2007"
    lists = folder / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for part, classes in TARGETS.items():
        for name, lines in classes.items():
            text = "".join(f"{image} {value:2d}\n" for image, value in lines.items())
            (lists / f"{name}_{part}.txt").write_text(text)
            (lists / f"{name}_train.txt").write_text("999999  1\n")
        (lists / f"{part}.txt").write_text("".join(f"{image}\n" for image in lines))
        for image in lines:
            write_image(folder / "JPEGImages" / f"{image}.jpg", int(image) * 10)
    return folder


@pytest.mark.parametrize("levels", [0, 1, 2])
def test_voc_folder(voc, levels):
    folder = [voc, *voc.parents][levels]
    train, test = (open_multi_label(str(folder), split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("ant", "cat")
    np.testing.assert_array_equal(train.targets, [[1, -1], [1, 1], [-1, 0]])
    np.testing.assert_array_equal(test.targets, [[-1, 1], [1, 0]])
    assert train.targets.dtype == np.int8 and not train.source.has_labels
    assert train.source.identify(1).endswith("JPEGImages/000007.jpg")
    pixels = tf.io.decode_jpeg(train.source.read(tf.constant(2, tf.int64)))
    assert pixels.shape == (4, 5, 3) and abs(int(pixels[0, 0, 0]) - 120) <= 2  # JPEG
    assert len({train.fingerprint, test.fingerprint}) == 2 and len(train.fingerprint) == 64


def test_the_fingerprint_sees_targets_and_classes(voc):
    before = open_multi_label(str(voc), "train")
    turned = MultiLabelSet(before.source, before.targets[:, ::-1].copy(), before.class_names)
    renamed = MultiLabelSet(before.source, before.targets, ("ant", "dog"))
    assert len({before.fingerprint, turned.fingerprint, renamed.fingerprint}) == 3
    assert open_multi_label(str(voc), "train").fingerprint == before.fingerprint


def edit(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def refuse(spec, split="train"):
    with pytest.raises(DataError) as caught:
        open_multi_label(str(spec), split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_voc_folders_that_cannot_be_used(voc, tmp_path):
    lists = voc / "ImageSets" / "Main"
    edit(lists / "cat_trainval.txt", "000012  0\n", "")
    assert "received 3 images in" in (message := refuse(voc)) and "and 2 in" in message
    edit(lists / "cat_trainval.txt", "000007", "000009")
    assert "(the first difference is 000007 and 000009)" in refuse(voc)
    edit(lists / "cat_trainval.txt", " 1", " 2")
    assert "Invalid line 2 of" in refuse(voc)

    (lists / "cat_test.txt").unlink()
    assert "1 of 2 test lists, cat_test.txt" in refuse(voc, "test")
    edit(lists / "ant_test.txt", " 1", "-1")
    (lists / "cat_trainval.txt").unlink()
    assert "No image of ant in" in refuse(voc, "test")
    (lists / "ant_test.txt").write_text("")
    assert "it names no image" in refuse(voc, "test")
    (lists / "ant_trainval.txt").write_text("000005 1\n000005 1\n")
    assert "it names 1 images twice, 000005.jpg" in refuse(voc)
    (lists / "ant_trainval.txt").write_text("".join(f"{number:06d} 1\n" for number in range(3, 12)))
    message = refuse(voc)
    assert "Missing images in" in message and "7 of 9 that" in message
    assert "names, 000003.jpg, 000004.jpg, 000006.jpg, 000008.jpg, 000009.jpg, ..." in message
    (lists / "ant_trainval.txt").unlink()
    assert "No class lists in" in refuse(voc)

    assert "it does not exist, expected a folder that holds VOC2007" in refuse(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "No lists of classes in" in refuse(tmp_path / "empty")
    message = refuse("digits")
    assert "one class each, expected images with several classes: tfds:NAME" in message and "VOC2007" in message
    assert "Unknown data: received 'http://x'" in (message := refuse("http://x")) and "VOC2007" in message
    with pytest.raises(ValueError, match="Invalid split: received 'trainval'"):
        open_multi_label(str(voc), "trainval")


@pytest.fixture(params=["test", "val"])
def tables(request, tmp_path):
    """A user's own images; the rows are not in the order of the names, and a spreadsheet wrote the mark in front."""
    folder = tmp_path / "own"
    (folder / "train").mkdir(parents=True)
    (folder / "train.csv").write_bytes(
        b'\xef\xbb\xbffile,sea,"sand, dry"\r\nb/2.png,1,0\r\n1.png,0,1\r\n\r\n3.png,d,\r\n'
    )
    (folder / f"{request.param}.csv").write_text("file,sea,'sand\n".replace("'sand", '"sand, dry"') + "9.png, 1 ,1\n")
    for number, name in enumerate(("train/b/2.png", "train/1.png", "train/3.png", f"{request.param}/9.png")):
        write_image(folder / name, 10 * number)
    return folder


def test_tables(tables):
    train, test = (open_multi_label(str(tables), split) for split in ("train", "test"))
    assert train.class_names == test.class_names == ("sea", "sand, dry")
    np.testing.assert_array_equal(train.targets, [[1, -1], [-1, 1], [0, 0]])
    np.testing.assert_array_equal(test.targets, [[1, 1]])
    assert [train.source.identify(index)[-5:] for index in range(3)] == ["2.png", "1.png", "3.png"]
    assert tf.io.decode_png(train.source.read(tf.constant(1, tf.int64)))[0, 0, 0] == 10


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "Invalid first row of .*train.csv: received ''"),
        ("file\n", "expected file,CLASS1"),
        ("name,sea\n1.png,1\n", "received 'name,sea'"),
        ("file,sea,sea\n1.png,1,1\n", "each class once"),
        ("file,sea\n1.png,1,0\n", "Invalid row 2 of .*: received 3 cells, expected 2"),
        ('file,sea\n1.png,1\n"2.png,0\n3.png,1\n', "Invalid line 3 of .*: a quotation mark opens a cell"),
        ("file,sea\n\n1.png,yes\n", "Invalid class sea in row 3 of .*: received 'yes'"),
        ("file,sea\n1.png,1\n1.png,1\n", "it names 1 images twice, 1.png"),
        ("file,sea\n1.png,1\n7.png,1\n", "Missing images in .*train: 1 of 2 that .*names, 7.png"),
        ("file,sea,sky\n1.png,1,0\n", "No image of sky in"),
        ("file,sea\n", "it names no image"),
        (b"file,sea\n\xff.png,1\n", "Invalid line 2 of .*: received the byte 0xff, expected CSV"),
    ],
)
def test_tables_that_cannot_be_used(tables, content, message):
    (tables / "train.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        open_multi_label(str(tables), "train")


def test_the_test_table_must_be_there_and_have_the_classes_of_training(tables):
    part = next(name for name in ("test", "val") if (tables / name).exists())
    (tables / f"{part}.csv").write_text("file,sand,sea\n9.png,1,1\n")
    assert "received sand, sea, expected sea, sand, dry" in refuse(tables, "test")
    (tables / f"{part}.csv").unlink()
    assert "No test split in" in refuse(tables, "test")


class BarlowtfTinyVoc(tfds.core.GeneratorBasedBuilder):
    """The features of voc/2007 that are read, and two that are not."""

    VERSION = tfds.core.Version("1.0.0")
    # No package beside this class to look for lists of checksums in.
    code_path = None
    # The objects of each image: class and difficult.
    OBJECTS = {
        "train": [[("cat", False)], [("dog", True), ("dog", True)], []],
        "validation": [[("dog", True), ("cat", True), ("dog", False)]],
        "test": [[("cat", False), ("dog", False)], [("cat", False), ("dog", True)]],
    }

    def _info(self):
        label = tfds.features.ClassLabel(names=["cat", "dog", "emu"][:2])
        objects = {"label": label, "is_difficult": np.bool_, "bbox": tfds.features.BBoxFeature()}
        features = {"image": tfds.features.Image(), "objects": tfds.features.Sequence(objects), "number": np.int64}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in self.OBJECTS}

    def _generate_examples(self, split):
        box = tfds.features.BBox(0.0, 0.0, 1.0, 1.0)
        for number, objects in enumerate(self.OBJECTS[split]):
            listed = [{"label": name, "is_difficult": difficult, "bbox": box} for name, difficult in objects]
            image = np.full((2, 3, 3), 10 * number + len(split), np.uint8)
            yield number, {"image": image, "objects": listed, "number": number}


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tensorflow_datasets(tmp_path, monkeypatch, file_format):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with warnings.catch_warnings():
        # Writing warns of deprecated calls inside TensorFlow Datasets; reading, below, must not.
        warnings.simplefilter("ignore")
        BarlowtfTinyVoc(data_dir=str(tmp_path), file_format=file_format).download_and_prepare()
    train, test = (open_multi_label("tfds:barlowtf_tiny_voc", split) for split in ("train", "test"))
    assert train.class_names == ("cat", "dog") and train.source.size == 4 and not train.source.has_labels

    def by_image(images):
        shades = [
            int(tf.io.decode_png(images.source.read(tf.constant(i, tf.int64)))[0, 0, 0])
            for i in range(images.source.size)
        ]
        return dict(zip(shades, images.targets.tolist(), strict=True))

    # Shade: ten times the number of the image and the length of its split's name.
    assert by_image(train) == {5: [1, -1], 15: [-1, 0], 25: [-1, -1], 10: [0, 1]}
    assert by_image(test) == {4: [1, 1], 14: [1, 0]}
    with pytest.raises(DataError, match="Cannot open tfds:barlowtf_tiny_voc:9.9.9"):
        open_multi_label("tfds:barlowtf_tiny_voc:9.9.9", "train")


def test_parts_that_do_not_agree(voc):
    whole = open_multi_label(str(voc), "train")
    with pytest.raises(DataError, match=r"No classes in .*: expected at least one"):
        MultiLabelSet(whole.source, np.zeros((3, 0), np.int8), ())
    for targets in (whole.targets.astype(np.int64), whole.targets[:2]):
        with pytest.raises(ValueError, match=r"Invalid targets: received int.* expected int8 \(3, 2\)"):
            MultiLabelSet(whole.source, targets, whole.class_names)
