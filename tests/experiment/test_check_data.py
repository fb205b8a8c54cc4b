"""What a check finds among 200 images: all that was planted, and nothing else."""

import errno
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image, ImageOps

from barlowtf.data import open_source, write_tfrecords
from barlowtf.data.images import reason_of_image
from barlowtf.errors import ConfigError, DataError
from barlowtf.experiment import CheckRequest, check_data, explain_check
from barlowtf.experiment.data_findings import DATA_DIAGNOSES

# Keras writes .keras files with an array method that NumPy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def picture(number, side=48):
    """Soft shapes with some grain, as photographs have them."""
    r = np.random.default_rng([7, number])
    shapes = Image.fromarray(r.integers(0, 256, (5, 5, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(shapes) + r.normal(0, 4, (side, side, 3)), 0, 255).astype(np.uint8))


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return str(path)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """A folder of 200 images in two classes and two splits, and what was planted in it."""
    folder = tmp_path_factory.mktemp("planted")
    files = {}
    for number in range(174):
        split, name = ("train" if number < 140 else "test"), ("ant", "bee")[number % 2]
        files[number] = folder / split / name / f"{number:03d}.png"
        save(picture(number), files[number])
    found = {"equal": [], "near": [], "flat": [], "unreadable": []}
    for number in range(5):
        copy = save(picture(number), folder / "train" / files[number].parent.name / f"copy-{number}.bmp")
        found["equal"].append({str(files[number]), copy})
        leak = save(picture(20 + number), folder / "test" / files[20 + number].parent.name / f"leak-{number}.png")
        found["equal"].append({str(files[20 + number]), leak})
        again = save(picture(40 + number), folder / "train" / "ant" / f"again-{number}.jpg", quality=70)
        found["near"].append({str(files[40 + number]), again})
    for number in range(3):
        near_leak = save(picture(60 + number, 48).resize((60, 60)), folder / "test" / "bee" / f"near-{number}.jpg")
        found["near"].append({str(files[60 + number]), near_leak})
        save(ImageOps.mirror(picture(80 + number)), folder / "train" / "ant" / f"mirror-{number}.png")
    other = save(picture(101), folder / "train" / "ant" / "wrong-label.png")
    found["equal"].append({str(files[101]), other})
    found["flat"].append(save(Image.new("RGB", (48, 48), (128, 128, 128)), folder / "train" / "bee" / "gray.png"))
    content = io.BytesIO()
    picture(300).save(content, "JPEG")
    for name, broken in (("half.jpg", content.getvalue()[:700]), ("empty.png", b""), ("text.jpg", b"not an image")):
        (folder / "train" / "ant" / name).write_bytes(broken)
        found["unreadable"].append(str(folder / "train" / "ant" / name))
    return folder, found


@pytest.fixture(scope="module")
def checked(planted):
    return check_data(CheckRequest(str(planted[0]), "pixels"))


def as_sets(groups):
    return sorted(sorted(group.images) for group in groups)


def test_all_that_was_planted_is_found_and_nothing_else(planted, checked):
    _, found = planted
    train, test = checked.splits["train"], checked.splits["test"]
    assert train.images + test.images == 200
    assert as_sets(checked.equal) == sorted(map(sorted, found["equal"]))
    assert as_sets(checked.near) == sorted(map(sorted, found["near"]))
    assert (list(train.flat), list(test.flat)) == (found["flat"], [])
    assert sorted(train.unreadable) == sorted(found["unreadable"]) and not test.unreadable
    assert checked.not_compared == 0
    assert {finding.name for finding in checked.findings} == {
        *("unreadable", "leaks", "near leaks", "contradictions"),
        *("one color", "duplicates", "near duplicates"),
    }


def test_harm_comes_first_and_is_told_with_what_to_do(checked):
    severities = [finding.severity for finding in checked.findings]
    assert severities == sorted(severities) and severities[0] == "harm"
    text = explain_check(checked)
    assert "3 train images cannot be read." in text and "empty.png: " in text
    assert "5 test images are in train, too, with equal pixels." in text
    assert "3 test images nearly equal others in train (cosine from 0.98 on)." in text
    assert "wrong-label.png (ant)" in text
    facts = checked.splits["train"].facts
    assert f"--set augment.mean=[{','.join(f'{value:.4g}' for value in facts.mean)}]" in text


def test_mean_and_deviation_are_those_of_all_images(planted, checked):
    train, pixels = open_source(str(planted[0]), "train"), []
    for number in range(train.size):
        if train.identify(number) not in checked.splits["train"].unreadable:
            pixels.append(np.asarray(Image.open(train.identify(number))).reshape(-1, 3) / 255)
    everything = np.concatenate(pixels)
    facts = checked.splits["train"].facts
    np.testing.assert_allclose(facts.mean, everything.mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(facts.std, everything.std(axis=0), atol=1e-4)


def test_without_an_encoder_near_copies_are_not_looked_for(planted):
    result = CliRunner().invoke(main, ["data", "check", str(planted[0])])
    assert result.exit_code == 1
    assert "not looked for: add --encoder pixels" in result.stdout
    assert "nearly" not in result.stdout


def test_clean_images_are_told_as_such(photographs):
    words = ["data", "check", str(photographs), "--encoder", "pixels"]
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout.splitlines()[-1].split()) == (0, ["found", "nothing"])
    values = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (values["findings"], values["splits"]["test"]["images"]) == ([], 8)


def test_images_are_compared_by_an_encoder(thin_run, photographs):
    check = check_data(CheckRequest(str(photographs), str(thin_run)))
    assert check.compared_by == str(thin_run) and 0 < check.similarity < 1
    assert check.near is not None and check.equal == ()


@pytest.fixture
def stack():
    images = np.stack([np.asarray(picture(number, 16)) for number in range(12)])
    images[7] = images[2]
    return images


def test_arrays_tables_and_records_are_checked_alike(tmp_path, stack):
    np.save(tmp_path / "stack.npy", stack)
    np.save(tmp_path / "stack.labels.npy", np.arange(12) % 3)
    lines = ["file,label"]
    for number, pixels in enumerate(stack):
        save(Image.fromarray(pixels), tmp_path / f"{number:02d}.png")
        lines.append(f"{number:02d}.png,{number % 3}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    write_tfrecords(open_source(f"table:{tmp_path / 'labels.csv'}", "train"), tmp_path / "packed-train", 2)
    for spec in ("npy:stack.npy", "table:labels.csv", "tfrecord:packed-train-*.tfrecord"):
        kind, _, name = spec.partition(":")
        check = check_data(CheckRequest(f"{kind}:{tmp_path / name}"))
        (group,) = check.equal
        assert group.labels == ("2", "1"), spec
        assert [finding.name for finding in check.findings] == ["contradictions", "duplicates"], spec


def class_folder(folder, **counts):
    for name, count in counts.items():
        for number in range(count):
            save(picture(sum(name.encode()) * 100 + number, 12), folder / name.replace("_", "/") / f"{number}.png")
    return {finding.name: finding for finding in check_data(CheckRequest(str(folder))).findings}


def test_what_is_wrong_with_classes(tmp_path):
    found = class_folder(tmp_path, train_ant=20, train_bee=2, train_moth=1, test_ant=2, test_wasp=3)
    assert list(found) == ["single images", "test only", "not tested", "passed over", "imbalance"]
    assert found["single images"].evidence == ("moth",)
    assert found["test only"].evidence == ("wasp",)
    assert found["not tested"].evidence == ("bee", "moth")
    assert found["imbalance"].what.startswith("The largest class has 20 times")


def test_classes_without_test_images(tmp_path):
    found = class_folder(tmp_path / "one", train_ant=2, train_bee=2, train_moth=2, test_ant=2)
    assert list(found) == ["one class tested"]
    assert found["one class tested"].severity == "harm" and found["one class tested"].evidence == ("bee", "moth")
    assert found["one class tested"].what == (
        "All test images with a label are of one class, ant: 2 classes have training images and no test images."
    )
    found = class_folder(tmp_path / "some", train_ant=2, train_bee=2, train_moth=2, test_ant=1, test_bee=1)
    assert list(found) == ["not tested"]
    assert found["not tested"].what == "1 class has training images and no test images."
    assert found["not tested"].evidence == ("moth",)
    names = {f"train_class{number}": 2 for number in range(9)}
    found = class_folder(tmp_path / "many", **names, test_class0=1, test_class1=1)["not tested"]
    assert found.what.startswith("7 classes have") and found.evidence[-1] == "and 2 more"


def test_one_image_is_told_in_the_singular(tmp_path):
    for place, name in enumerate(("train/ant", "train/bee", "test/ant", "test/bee")):
        for number in range(2):
            save(picture(10 * place + number, 12), tmp_path / name / f"{number}.png")
    save(picture(0, 12), tmp_path / "test" / "ant" / "same.png")
    (found,) = check_data(CheckRequest(str(tmp_path))).findings
    assert found.what == "1 test image is in train, too, with equal pixels."
    assert found.change.startswith("Delete it from train")


def test_classes_whose_names_are_alike(tmp_path):
    for place, name in enumerate(("dog", "dog ", "caf\u00e9", "cafe\u0301", "cat")):
        for number in range(2):
            save(picture(10 * place + number, 12), tmp_path / name / f"{number}.png")
    (found,) = check_data(CheckRequest(str(tmp_path))).findings
    assert (found.name, found.severity) == ("alike names", "note")
    assert found.what.startswith("4 classes have names that differ only in case, spaces, Unicode form")
    assert set(found.evidence) == {"'dog' and 'dog '", r"'cafe\u0301' and 'café'"}


def test_images_without_a_label_and_folders_without_images(tmp_path):
    save(picture(1, 12), tmp_path / "stray.png")
    found = class_folder(tmp_path, ant=3, bees=3)
    assert list(found) == ["unlabeled"] and Path(found["unlabeled"].evidence[0]).name == "stray.png"
    (tmp_path / "stray.png").unlink()
    (tmp_path / "moth").mkdir()
    found = class_folder(tmp_path, ant=3, bees=3)
    assert list(found) == ["passed over"]
    assert found["passed over"].evidence == ("Passed over, folders without images: moth.",)


def test_a_stray_picture_is_reported_once(tmp_path):
    class_folder(tmp_path, a=10, b=10)
    save(picture(1, 12), tmp_path / "stray.png")
    found = {finding.name: finding for finding in check_data(CheckRequest(str(tmp_path))).findings}
    assert list(found) == ["unlabeled"] and Path(found["unlabeled"].evidence[0]).name == "stray.png"


def test_a_folder_that_cannot_be_read_is_a_finding(tmp_path, monkeypatch):
    class_folder(tmp_path, a=10, b=10, c=10)
    scan = os.scandir

    def refuse(folder="."):
        if Path(folder).name == refused:
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scan(folder)

    monkeypatch.setattr("barlowtf.data.layout.os.scandir", refuse)
    refused = "b"
    check = check_data(CheckRequest(str(tmp_path)))
    assert (check.splits["train"].images, check.unreadable_folders) == (20, {str(tmp_path / "b"): "Permission denied"})
    found = next(finding for finding in check.findings if finding.name == "unreadable")
    assert found.what == "1 folder cannot be read: what lies there is not part of this check."
    assert found.evidence == (f"{tmp_path / 'b'}: Permission denied",)
    with pytest.raises(PermissionError):
        open_source(str(tmp_path), "train")
    refused = tmp_path.name
    with pytest.raises(DataError, match=f"Cannot read folder {tmp_path}: Permission denied. Give yourself"):
        check_data(CheckRequest(str(tmp_path)))


def test_a_reason_does_not_repeat_the_file():
    for error in (
        tf.errors.PermissionDeniedError(None, None, "{{function_node x}} /a b/c.png; Permission denied [Op:ReadFile]"),
        tf.errors.NotFoundError(None, None, "/a/c.png; Permission denied"),
    ):
        assert reason_of_image(error) == "Permission denied"
    assert reason_of_image(ValueError("a; b")) == "a; b"


def test_a_class_without_images(tmp_path, monkeypatch):
    (tmp_path / "own_data.py").write_text(
        "import numpy as np\nfrom barlowtf.data import ArraySource\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (4, 9, 9, 3), np.uint8)\n"
        "def make(split):\n"
        "    names = ('ant', 'bee', 'moth')\n"
        "    return ArraySource('own', pixels, np.array([0, 1, 0, 1]), names) if split == 'train' else None\n"
    )
    (finding,) = check_data(CheckRequest(f"{tmp_path / 'own_data.py'}:make")).findings
    assert (finding.name, finding.evidence) == ("empty classes", ("moth",))


def test_images_of_other_channels(tmp_path):
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 9, 5), np.uint8)
        np.save(tmp_path / f"{number}.npy", pixels)
    save(picture(1, 9), tmp_path / "color.png")
    (finding,) = check_data(CheckRequest(str(tmp_path))).findings
    assert (finding.name, [Path(name).name for name in finding.evidence]) == ("channels", ["color.png"])


def test_no_image_can_be_read(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    check = check_data(CheckRequest(str(tmp_path), "pixels"))
    assert [finding.name for finding in check.findings] == ["unreadable"]
    assert check.splits["train"].facts is None and check.settings == ()
    assert "a.png" in explain_check(check)


def test_every_check_names_something_to_do(checked):
    assert all(finding.change.endswith(".") and finding.name in DATA_DIAGNOSES for finding in checked.findings)


def test_a_similarity_out_of_range():
    with pytest.raises(ConfigError, match=r"Invalid similarity: received 2, expected a cosine in \(0, 1\]"):
        check_data(CheckRequest("digits", "pixels", similarity=2.0))
