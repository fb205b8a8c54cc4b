"""Folders in folders of the same name, as archives unpack: they are entered, and what is lost in others is said."""

import pytest

from barlowtf.data import open_source
from tests.data.test_layout import labels, paths, write


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train/train", "test"),
        ("train", "test/test"),
        ("train/train", "test/test"),
        ("Train/training", "val/Validation"),
        ("train/train/train", "test/test"),
        ("train_set/train_set", "test_set/test_set"),
        ("data/train/train", "data/test/test"),
    ],
)
def test_a_folder_in_a_folder_of_its_own_name_is_entered(tmp_path, train, test):
    write(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{test}/dog/2.png", "README.md", "__MACOSX/a/1.png")
    sources = [open_source(str(tmp_path), split) for split in ("train", "test")]
    assert [paths(source, tmp_path) for source in sources] == [
        [f"{train}/cat/1.png", f"{train}/dog/1.png"],
        [f"{test}/dog/2.png"],
    ]
    assert [labels(source) for source in sources] == [["cat", "dog"], ["dog"]]
    assert all(source.notes[0].startswith("Read ") for source in sources)


def test_what_was_entered_is_said(tmp_path, monkeypatch):
    write(tmp_path, "DATA/DATA/a/1.png", "DATA/DATA/b/1.png", "n/train/train/a/1.png", "n/train/train/b/1.png")
    monkeypatch.chdir(tmp_path / "DATA")
    for folder in (str(tmp_path / "DATA"), "."):
        source = open_source(folder, "train")
        assert labels(source) == ["a", "b"]
        assert source.notes == ("Read DATA/DATA in place of DATA, which holds no other images.",)
    source = open_source(str(tmp_path / "n"), "train")
    assert labels(source) == ["a", "b"] and open_source(str(tmp_path / "n"), "test") is None
    assert source.notes == ("Read train/train in place of train, which holds no other images.",)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        # A class called train.
        (("train/train/1.png", "train/car/1.png", "test/train/2.png"), ["car", "train"]),
        (("train/train/deep/1.png", "train/car/1.png", "test/train/deep/2.png"), ["car", "train"]),
        (("train/train/1.png", "test/train/1.png", "test/car/1.png"), ["train"]),
        (("train/test/x/1.png", "train/car/1.png", "test/test/x/1.png", "test/test/y/1.png"), ["car", "test"]),
        # An image beside it.
        (("train/train/a/1.png", "train/train/b/1.png", "train/1.png", "test/a/1.png"), None),
        # Another split in it.
        (("train/test/a/1.png", "train/test/b/1.png", "test/test/1.png"), None),
    ],
)
def test_a_folder_that_holds_more_is_not_entered(tmp_path, names, expected):
    write(tmp_path, *names)
    train, test = (open_source(str(tmp_path), split) for split in ("train", "test"))
    assert labels(train) == expected
    assert not any(note.startswith("Read ") for note in (*train.notes, *test.notes))


def test_a_link_to_itself_is_no_folder_of_its_own_name(tmp_path):
    write(tmp_path, "train/a/1.png", "train/b/1.png")
    (tmp_path / "train" / "train").symlink_to(tmp_path / "train")
    assert labels(open_source(str(tmp_path), "train")) == ["a", "b"]


def test_labels_lost_in_one_folder_are_said(tmp_path):
    write(tmp_path, *(f"photos/images/{name}/1.png" for name in "abcde"), "s/train/x/a/1.png", "s/train/x/b/1.png")
    write(tmp_path, "s/test/x/a/1.png", "one/class/1.png", "one/deep/1/1.png")
    source = open_source(str(tmp_path / "photos"), "train")
    (note,) = source.notes
    folder = tmp_path / "photos"
    assert labels(source) is None
    assert note == (
        f"No labels: images is the only folder with images in {folder}. Where its folders, a, b, c and 2 more, are the "
        f"classes, give {folder / 'images'}."
    )
    (note,) = open_source(str(tmp_path / "s"), "train").notes
    assert note.endswith(f"a, b, are the classes, move them into {tmp_path / 's' / 'train'}.")
    assert open_source(str(tmp_path / "s"), "test").notes == ()
    assert open_source(str(tmp_path / "one"), "train").notes == ()
