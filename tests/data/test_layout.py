"""Folders as people lay them out: what is a split, what a class, what is passed over and said."""

import os

import pytest

from barlowtf.data import open_source
from barlowtf.data.layout import find_layout
from barlowtf.errors import DataError


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def paths(source, folder):
    return [source.identify(index).removeprefix(f"{folder}/") for index in range(source.size)]


def labels(source):
    return None if source.labels is None else [source.class_names[label] for label in source.labels]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "val"),
        ("train", "valid"),
        ("Train", "Test"),
        ("TRAIN", "Validation"),
        ("training", "testing"),
        ("train2017", "val2017"),
        ("train_2012", "test_2012"),
        ("images/train", "images/val"),
        ("data/images/Train", "data/images/dev"),
    ],
)
def test_names_of_splits(tmp_path, train, test):
    write(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/dog/2.png", "labels/1.txt", "README.md")
    sources = [open_source(str(tmp_path), split) for split in ("train", "test")]
    assert [paths(source, tmp_path) for source in sources] == [
        [f"{train}/cat/1.png", f"{train}/dog/1.png"],
        [f"{test}/dog/2.png"],
    ]
    assert [labels(source) for source in sources] == [["cat", "dog"], ["dog"]]


def test_of_several_test_splits_the_first_counts_and_the_others_are_said(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "test/1.png", "val/a/1.png", "unlabeled/1.png", "runs/x.txt")
    source = open_source(str(tmp_path), "train")
    assert find_layout(tmp_path).test == tmp_path / "val"
    assert source.notes == ("Passed over, folders with images beside the splits: unlabeled, test.",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("train/1.png", "car/1.png", "bus/1.png"),
            r"train lies beside bus, car in .*: a split or a class\? .* add val/",
        ),
        (("val/1.png", "car/1.png", "bus/1.png"), "No training images in .*: there is val, a split by its name"),
        (("val/1.png", "test/1.png"), "No training images in .*: there is val"),
        (("train/1.png", "Train/1.png", "val/1.png"), "Two splits of one name in .*: Train, train. Move one"),
        (("train/1.png", "val2014/1.png", "val2017/1.png"), "Two splits of one name in .*: val2014, val2017"),
        (("train/notes.txt", "val/1.png"), r"No images in .*train: received other files only \(1 \.txt\)"),
    ],
)
def test_what_may_be_a_split_or_a_class_is_an_error(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message) as caught:
        open_source(str(tmp_path), "train")
    assert "\n" not in str(caught.value)


def test_a_test_folder_alone_is_a_folder_of_images(tmp_path):
    """As one of new images, for `embed` and `predict`."""
    write(tmp_path, "test/1.png", "test/2.png")
    assert open_source(str(tmp_path), "train").size == 2
    assert open_source(str(tmp_path), "test") is None


def test_test_images_in_other_folders_than_the_classes_have_no_labels(tmp_path):
    """Tiny ImageNet: train/CLASS/images/ and val/images/."""
    write(tmp_path, "train/n01/images/1.png", "train/n02/images/1.png", "val/images/1.png", "val/val_annotations.txt")
    train, test = (open_source(str(tmp_path), split) for split in ("train", "test"))
    assert labels(train) == ["n01", "n02"] and test.size == 1 and labels(test) is None
    line = "The folders of the test images, images, are no training classes: no labels."
    assert line in train.notes and line in test.notes
    assert "Passed over, other files: 1 .txt." in test.notes


def test_classes_with_test_images_alone_are_said(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png", "val/c/1.png")
    test = open_source(str(tmp_path), "test")
    assert test.class_names == ("a", "b", "c") and labels(test) == ["b", "c"]
    assert test.notes == ("Classes with test images alone: c.",)


def test_folders_without_images_are_no_classes(tmp_path):
    write(tmp_path, "a/1.png", "b/deep/2.png", "runs/run.json", "empty/deep/x.txt")
    (tmp_path / "new").mkdir()
    source = open_source(str(tmp_path), "train")
    assert source.class_names == ("a", "b")
    assert source.notes == (
        "Passed over, folders without images: empty, new, runs.",
        "Passed over, other files: 1 .json, 1 .txt.",
    )


def test_pipes_are_never_opened(tmp_path):
    write(tmp_path, "a/1.png", "b/2.png")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    (tmp_path / "b" / "device.png").symlink_to("/dev/zero")
    (tmp_path / "b" / "lost.png").symlink_to("nothing.png")
    source = open_source(str(tmp_path), "train")
    # A broken link is an image that cannot be read: it is counted and named.
    assert paths(source, tmp_path) == ["a/1.png", "b/2.png", "b/lost.png"]
    assert source.notes == ("Passed over, other files: 2 special.",)


def test_a_stray_picture_does_not_take_the_labels_away(tmp_path):
    write(tmp_path, *(f"{name}/{number}.png" for name in "ab" for number in range(5)), "overview.png")
    source = open_source(str(tmp_path), "train")
    assert source.size == 10 and source.class_names == ("a", "b")
    assert source.unlabeled == ("overview.png",)
    assert source.notes == ("Left out, beside the class folders: overview.png.",)
    write(tmp_path, "another.png")
    source = open_source(str(tmp_path), "train")
    assert source.size == 12 and source.labels is None
    assert source.unlabeled == ("another.png", "overview.png")


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train_set", "test_set"),
        ("training_set", "test_set"),
        ("Training Data", "Test Data"),
        ("x-train", "x-test"),
        ("seg_train", "seg_val"),
        ("data/trainset", "data/evalset"),
    ],
)
def test_folders_whose_names_differ_only_in_a_split_are_splits(tmp_path, train, test):
    write(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/dog/2.png")
    sources = [open_source(str(tmp_path), split) for split in ("train", "test")]
    assert [labels(source) for source in sources] == [["cat", "dog"], ["dog"]]
    assert paths(sources[1], tmp_path) == [f"{test}/dog/2.png"]


def test_of_several_such_test_splits_the_first_counts(tmp_path):
    write(tmp_path, "x_train/1.png", "x_test/1.png", "x_val/1.png")
    assert find_layout(tmp_path) == (tmp_path / "x_train", tmp_path / "x_val", ("x_test",), ())


@pytest.mark.parametrize("names", [("steam-train", "bus"), ("valley", "train_yard"), ("latest", "strain")])
def test_classes_whose_names_hold_such_a_word_stay_classes(tmp_path, names):
    write(tmp_path, *(f"{name}/1.png" for name in names))
    assert open_source(str(tmp_path), "train").class_names == tuple(sorted(names))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("x_train/1.png", "x_test/1.png", "x_more/1.png"),
            r"x_train, x_test, beside x_more, in .*: splits or classes\? Where they are splits, call one train",
        ),
        (("x_train/1.png", "x_test/1.png", "1.png"), r"x_train, x_test, beside single images, in"),
        (
            ("a_train/1.png", "a_test/1.png", "b_train/1.png", "b_test/1.png"),
            r"a_train, b_train, a_test and others in .*: splits or classes\?",
        ),
        (
            ("a/train/1.png", "a/test/1.png", "b/train/1.png", "b/test/1.png"),
            r"a, b in .* have splits of their own: data sets, or classes\? For data sets, give one of them: .*/a\.",
        ),
        (("data/v1/train/x/1.png", "data/v2/Train/y/1.png"), r"v1, v2 in .*data have splits .*: .*data/v1\."),
        (("images/train/1.png", "images/val/1.png", "small/1.png"), r"images in .* has splits of its own"),
    ],
)
def test_folders_that_may_be_splits_classes_or_data_sets_are_an_error(tmp_path, names, message):
    write(tmp_path, *names)
    with pytest.raises(DataError, match=message) as caught:
        open_source(str(tmp_path), "train")
    assert "\n" not in str(caught.value)


def test_a_class_below_others_may_be_called_train(tmp_path):
    write(tmp_path, "vehicles/train/1.png", "vehicles/bus/1.png", "animals/cat/1.png")
    assert open_source(str(tmp_path), "train").class_names == ("animals", "vehicles")


def test_an_empty_split_is_passed_over(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "test/a/1.png", "val/.gitkeep", "Training/notes.txt")
    train, test = (open_source(str(tmp_path), split) for split in ("train", "test"))
    assert paths(test, tmp_path) == ["test/a/1.png"]
    assert train.notes == ("Passed over, splits without images: Training, val.",) == test.notes


def test_without_images_in_any_test_split_there_is_none(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png", "test/readme.txt")
    assert open_source(str(tmp_path), "test") is None
    train = open_source(str(tmp_path), "train")
    assert train.size == 2 and train.notes == ("Passed over, splits without images: test.",)


def test_an_empty_folder_called_like_a_split_makes_no_classes_splits(tmp_path):
    write(tmp_path, "cat/1.png", "dog/1.png", "test/.gitkeep")
    source = open_source(str(tmp_path), "train")
    assert source.class_names == ("cat", "dog")
    assert source.notes == ("Passed over, folders without images: test.",)


def test_a_folder_behind_many_links_counts_once(tmp_path):
    """Thirty levels of two links each would be a billion paths to one picture."""
    write(tmp_path, "data/a/1.png", "data/b/1.png", "levels/30/2.png")
    for level in range(30):
        (tmp_path / "levels" / str(level)).mkdir()
        for name in "pq":
            (tmp_path / "levels" / str(level) / name).symlink_to(f"../{level + 1}")
    (tmp_path / "data" / "b" / "deep").symlink_to("../../levels/0")
    source = open_source(str(tmp_path / "data"), "train")
    assert labels(source) == ["a", "b", "b"]
    assert source.notes[0].startswith("Passed over, links to folders that had counted already: b/deep/") and (
        "and 27 more" in source.notes[0]
    )


def test_links_in_a_circle_and_to_folders_of_the_same_class(tmp_path):
    write(tmp_path, "a/x/1.png", "b/y/2.png")
    for link, target in (("a/up", ".."), ("a/also", "x"), ("b/self", "."), ("b/other", "../a")):
        (tmp_path / link).symlink_to(target)
    source = open_source(str(tmp_path), "train")
    assert paths(source, tmp_path) == ["a/x/1.png", "b/other/x/1.png", "b/y/2.png"]
    assert source.notes == (
        "Passed over, links to folders that had counted already: a/also, a/up, b/other/also and 2 more.",
    )
