"""Parts of a data set: balanced draws that every machine repeats, and lists."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from barlowtf.data import ArraySource, balanced_ids, held_out_ids, listed_ids, open_source, require_classes
from barlowtf.errors import DataError

LABELS = np.array([0] * 50 + [1] * 30 + [2] * 3 + [3] * 17)


@pytest.mark.parametrize(
    ("fraction", "sizes"),
    [
        (0.01, [1, 1, 1, 1]),  # never fewer than one of each class
        (0.08, [2, 2, 2, 2]),
        (0.2, [6, 6, 3, 5]),  # class 2 has three; one of the others is drawn for the two that are left
        (1.0, [50, 30, 3, 17]),
    ],
)
def test_classes_give_the_same_number(fraction, sizes):
    ids = balanced_ids(LABELS, fraction, seed=0)
    counts = np.bincount(LABELS[ids]).tolist()
    assert sum(counts) == sum(sizes)
    assert sorted(counts) == sorted(sizes)
    assert len(np.unique(ids)) == len(ids)
    assert (np.diff(ids) > 0).all()


def test_seeds_draw_others_and_every_example_comes():
    draws = [balanced_ids(LABELS, 0.08, seed) for seed in range(300)]
    assert len({tuple(draw) for draw in draws}) > 250
    counts = np.bincount(np.concatenate(draws), minlength=100)
    assert counts.min() > 0
    # Of 50 examples of class 0 two are drawn: 12 expected of 300, deviation 3.4; 4.5 sigma for the largest of 50.
    assert np.abs(counts[:50] - 12).max() < 4.5 * 3.4


def test_another_process_draws_the_same():
    code = (
        "import json, numpy as np; from barlowtf.data import balanced_ids;"
        "print(json.dumps(balanced_ids(np.arange(1000) % 7, 0.03, 5).tolist()))"
    )
    here = balanced_ids(np.arange(1000) % 7, 0.03, 5).tolist()
    # With a hash seed that is not this process' one.
    environment = {**os.environ, "PYTHONHASHSEED": str(1 + int(os.environ.get("PYTHONHASHSEED") == "1"))}
    out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout
    assert json.loads(out.splitlines()[-1]) == here
    # Kept here, so that a new library or machine cannot change it unseen.
    assert hashlib.sha256(np.array(here, "<i8").tobytes()).hexdigest()[:16] == "fd7feeb1523882ac"


def test_lists(class_folders, tmp_path):
    source = open_source(str(class_folders), "train")
    file = tmp_path / "list.txt"
    file.write_text("bee/01.png\n\n00.png\n")
    names = [source.identify(number)[-10:] for number in listed_ids(source, file)]
    assert names == ["ant/00.png", "bee/01.png"]
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(listed_ids(source, file, sha256=digest.upper())) == 2
    for content, sha256, message in (
        ("00.png\n", "ab" * 32, "Invalid list .*: received sha256"),
        ("", None, "it names no image"),
        (
            "\n".join(f"no{n}.png" for n in range(7)),
            None,
            r"7 of 7 lines name an image that is missing, .*no4.png\.$",
        ),
        ("00.png\nant/00.png\n00.png", None, "1 of 3 lines name an image twice, e.g. 00.png"),
    ):
        file.write_text(content)
        with pytest.raises(DataError, match=message):
            listed_ids(source, file, sha256=sha256)
    with pytest.raises(DataError, match="Cannot read the list"):
        listed_ids(source, tmp_path / "absent.txt")


def test_a_name_that_fits_several_images_is_refused(tmp_path):
    class Twice(ArraySource):
        def identify(self, index):
            return f"data/{'ab'[index]}/x.png"

    source = Twice("two", np.zeros((2, 4, 4, 1), np.uint8))
    file = tmp_path / "list.txt"
    file.write_text("x.png")
    with pytest.raises(DataError, match="1 of 1 lines match several images"):
        listed_ids(source, file)
    file.write_text("b/x.png")
    assert listed_ids(source, file).tolist() == [1]


def test_missing_classes_are_named():
    require_classes(np.array([0, 1]), 2, None, "The subset")
    with pytest.raises(DataError, match="no example of 2 of 4 classes, e.g. cat, emu"):
        require_classes(np.array([0, 2]), 4, ("ant", "cat", "dog", "emu"), "The subset")
    with pytest.raises(DataError, match="has 1 class, expected at least two"):
        require_classes(np.array([0]), 1, None, "The subset")


def test_held_out_parts_make_a_cross_validation():
    labels = np.array([0] * 20 + [1] * 13 + [2] * 2)
    parts = [held_out_ids(labels, 0.2, seed) for seed in range(5)]
    assert np.sort(np.concatenate(parts)).tolist() == list(range(35))
    for part in parts:
        assert np.count_nonzero(labels[part] == 0) == 4
        assert np.count_nonzero(labels[part] == 1) in (2, 3)
    assert held_out_ids(labels, 0.2, 5).tolist() != parts[0].tolist()
    assert held_out_ids(labels, 0.2, 2).tolist() == parts[2].tolist()
    with pytest.raises(ValueError, match=r"Invalid fraction: received 0\.6"):
        held_out_ids(labels, 0.6, 0)


@pytest.mark.parametrize("fraction", [0.0, 1.5])
def test_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="Invalid fraction: received"):
        balanced_ids(LABELS, fraction, 0)
