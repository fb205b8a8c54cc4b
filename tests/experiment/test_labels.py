"""Labels that are no 0 to K - 1, from the data to what is shown, trained on, measured and predicted."""

import numpy as np
import pytest
from PIL import Image

from barlowtf import experiment
from barlowtf.config import load_recipe
from barlowtf.data import ArraySource, open_source
from barlowtf.errors import DataError
from barlowtf.evaluation import open_labeled
from barlowtf.experiment import training_data
from barlowtf.experiment.bank import open_bank
from barlowtf.experiment.predicted_rows import vote_labeler
from barlowtf.experiment.training_data import log_alike_names
from barlowtf.train.callbacks import Recorder
from barlowtf.train.monitors import make_knn_monitor


def split(labels):
    """Images, one for each label, as bright as their label is large."""
    labels = np.array(labels)
    shades = (np.maximum(labels, 0) % 251).astype(np.uint8)
    return ArraySource("mine", np.repeat(shades, 64).reshape(-1, 8, 8, 1), labels)


def own(tmp_path, train, test):
    """A user's own data with these labels in both splits."""
    (tmp_path / "own.py").write_text(
        "import numpy as np\nfrom barlowtf.data import ArraySource\n\n\ndef mine(split):\n"
        f"    labels = np.array({{'train': {train}, 'test': {test}}}[split])\n"
        "    shades = (np.maximum(labels, 0) * 20 % 251).astype(np.uint8)\n"
        "    images = np.repeat(shades, 64).reshape(-1, 8, 8, 1)\n"
        "    return ArraySource('mine', images, labels)\n"
    )
    return f"{tmp_path}/own.py:mine"


# Keras saves the encoder of the fixture.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_from_one_and_with_gaps(tmp_path, thin_run):
    spec = own(tmp_path, [1, 2, 9, 1, 2, 9, -1], [9, 1, 2])
    facts = experiment.describe_data(spec)
    assert (facts.classes, facts.class_names, facts.images_per_class) == (3, ("1", "2", "9"), (2, 2, 2))
    assert "1 image has no label." in facts.notes
    splits = open_labeled(spec, spec, 1)
    assert (splits.class_count, splits.class_names) == (3, ("1", "2", "9"))
    assert splits.train.labels.tolist() == [0, 1, 2, 0, 1, 2] and splits.test.labels.tolist() == [2, 0, 1]
    # A head needs an image of each class, and has one.
    chosen, _ = splits.choose(fraction=1.0, seed=0, file=None, sha256=None)
    assert chosen.class_count == 3
    experiment.embed(experiment.EmbedRequest(str(thin_run), spec, tmp_path / "bank"))
    bank = open_bank(tmp_path / "bank")
    labels, names = bank.classes
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, -1] and names == ("1", "2", "9")
    assert vote_labeler(bank).names == names


def test_alike_names_are_said_wherever_labels_are_read(tmp_path, caplog):
    caplog.set_level("INFO", logger="barlowtf")
    names = ["dog", "Dog", "1", "1.0", "cat"]
    rows = [(f"{place}-{part}.png", name, part) for place, name in enumerate(names) for part in ("train", "test")]
    for place, (file, _, _) in enumerate(rows):
        Image.fromarray(np.full((8, 8), place, np.uint8)).save(tmp_path / file)
    (tmp_path / "all.csv").write_text("file,label,split\n" + "".join(f"{','.join(row)}\n" for row in rows))
    spec = f"table:{tmp_path / 'all.csv'}"
    said = "'1' and '1.0'; 'Dog' and 'dog'. They count as different classes"
    assert said in experiment.describe_data(spec).notes[-1]
    assert open_labeled(spec, spec, 1).class_count == 5 and caplog.text.count(said) == 1
    log_alike_names(open_source(spec, "train"))
    assert caplog.text.count(said) == 2


def test_one_class_and_none(tmp_path, caplog):
    spec = own(tmp_path, [4, 4, -1, 4], [4, 4])
    assert experiment.describe_data(spec).classes == 1
    with pytest.raises(DataError, match="received 1 class, expected at least two"):
        open_labeled(spec, spec, 1)
    settings = {"every_epochs": 1, "total_epochs": 1, "neighbors": 2, "temperature": 0.1, "probe": False}

    def monitor(labels):
        return make_knn_monitor(
            Recorder(), split(labels), None, views=lambda *_: (), bank_size=9, query_count=9, seed=0,
            stop_requested=lambda: False, **settings,
        )  # fmt: skip

    assert monitor([4] * 8) is None and "all 4 sampled images of mine have the same label" in caplog.text
    assert monitor([-1] * 8) is None and "have no label" in caplog.text
    # As many classes as there are, however they are numbered.
    assert monitor([5, 1000] * 8).class_count == 2


def test_a_run_is_not_measured_on_test_images_of_one_class(tmp_path, caplog):
    """kNN falls back to training images, which are of several; a protocol refuses them."""
    spec = own(tmp_path, [0, 1, 2, 0, 1, 2], [1, 1, -1])
    recipe = load_recipe("digits", [f"data.source={spec}"])
    train, test = training_data.open_labeled(recipe, open_source(spec, "train"))
    assert (train.size, test) == (6, None)
    assert "All test images of mine are of one class: kNN is measured on training images." in caplog.messages
    with pytest.raises(DataError, match="all 2 images are of class 1, expected two of the 3 classes at least"):
        open_labeled(spec, spec, 1)


def test_a_label_that_is_too_large_is_named(tmp_path):
    spec = own(tmp_path, [0, 1, 2**40], [0, 1])
    for use in (lambda: experiment.describe_data(spec), lambda: open_labeled(spec, spec, 1)):
        with pytest.raises(DataError, match=r"Invalid label of mine image 2: received 1099511627776, expected"):
            use()
