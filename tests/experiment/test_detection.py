"""Protocols detection and segmentation: results and files, a second call, a signal, and what is refused."""

import json
import signal

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner
from PIL import Image

from barlowtf.errors import ConfigError, DataError, Interrupted
from barlowtf.evaluation import detecting
from barlowtf.models import make_encoder
from barlowtf.records import read_lines, read_results
from barlowtf.train import callbacks
from tests.data.objects_on_disk import coco, thing, write_coco, write_voc

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

WIDTH, HEIGHT = 60, 40
TINY = (
    "short_sides=[32,40]",
    "longest=64",
    "test_short_side=40",
    "anchor_sizes=[16,32]",
    "anchors_sampled=16",
    "candidates=[40,30]",
    "proposals=[20,12]",
    "regions=8",
    "detections=5",
    "steps=4",
    "drops=[3]",
    "warmup_steps=1",
)


def draw(path, number):
    r = np.random.default_rng(number)
    pixels = r.integers(0, 80, (HEIGHT, WIDTH, 3), np.uint8)
    pixels[10:30, 5 + number : 35 + number] = 220
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Four training and two test images of COCO, one object of them dropped."""
    folder = tmp_path_factory.mktemp("coco") / "scenes"
    for split, count in (("train2017", 4), ("val2017", 2)):
        names = [f"{split}{number}.png" for number in range(count)]
        annotations = []
        for number in range(count):
            x = 5 + number
            polygon = [x, 10, x + 30, 10, x + 30, 30, x, 30]
            annotations.append(thing(10 + number, 7, (x, 10, 30, 20), segmentation=[polygon], area=600))
        annotations.append(thing(10, 3, (200, 200, 5, 5), segmentation=[[200, 200, 205, 200, 205, 205]], area=12))
        content = coco(annotations, images=names)
        for image in content["images"]:
            image.update(width=WIDTH, height=HEIGHT)
        write_coco(folder, content, split=split)
        for number, name in enumerate(names):
            draw(folder / split / name, number + (10 if split == "val2017" else 0))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "encoder.keras"
    make_encoder("resnet10_w0p0625", image_shape=(32, 32, 3), stem="imagenet", seed=5).save(path)
    return path


def command(encoder, data, out, protocol):
    settings = [part for setting in TINY for part in ("--set", setting)]
    arguments = ["--encoder", str(encoder), "--data", str(data), "--out", str(out)]
    return ["evaluate", "--protocol", protocol, "--variant", "small", *arguments, *settings]


def test_segmentation_from_the_command_line(encoder, scenes, tmp_path):
    pytest.importorskip("pycocotools")
    from pycocotools.coco import COCO

    before = encoder.read_bytes()
    answer = CliRunner().invoke(main, command(encoder, scenes, tmp_path / "out", "segmentation"))
    assert answer.exit_code == 0, answer.output
    (result,), _ = read_results(tmp_path / "out")
    assert (result.protocol, result.variant) == ("segmentation", "small")
    assert (result.data.train_images, result.data.test_images) == (4, 2)
    scores = {f"{kind}_{name}" for kind in ("box", "mask") for name in ("ap", "ap50", "ap75")}
    assert scores <= set(result.scores) and all(0 <= value <= 1 for value in result.scores.values())
    assert "box AP" in (tmp_path / "out" / "table.md").read_text() and "box AP" in answer.output
    (file,) = (tmp_path / "out").glob("*.json")
    folder = file.with_suffix("")
    files = {"predictions.json", "dropped.jsonl", "encoder.keras", "detector.weights.h5", "sheet.jpg"}
    assert {path.name for path in folder.iterdir()} == files
    truths = COCO(str(scenes / "annotations" / "instances_val2017.json"))
    predicted = truths.loadRes(str(folder / "predictions.json"))
    assert 0 < len(predicted.anns) <= 10
    for one in predicted.anns.values():
        assert predicted.annToMask(one).shape == (HEIGHT, WIDTH)
        x, y, width, height = one["bbox"]
        assert x >= 0 and y >= 0 and x + width <= WIDTH + 0.01 and y + height <= HEIGHT + 0.01
        assert one["category_id"] in (3, 7)
    assert [line["split"] for line in read_lines(folder / "dropped.jsonl")] == ["train", "test"]
    assert encoder.read_bytes() == before and (folder / "encoder.keras").read_bytes() != before
    again = CliRunner().invoke(main, command(encoder, scenes, tmp_path / "out", "segmentation"))
    assert again.exit_code == 0 and "exists already" in again.output
    assert read_results(tmp_path / "out")[0] == [result]


@pytest.mark.slow
def test_detection_stops_at_a_signal_and_resumes_bit_for_bit(evaluate, encoder, scenes, tmp_path, monkeypatch):
    options = {"source": str(scenes), "variant": "small", "overrides": TINY}
    (whole,) = evaluate(encoder, tmp_path / "whole", "detection", **options)

    class Stopped(callbacks.StopOnRequest):
        def on_train_batch_end(self, batch, logs=None):
            if int(logs["step"]) == 2:
                signal.raise_signal(signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    monkeypatch.setattr(callbacks, "StopOnRequest", Stopped)
    with pytest.raises(Interrupted, match="in detection, saved. The same command resumes"):
        evaluate(encoder, tmp_path / "parts", "detection", **options)
    assert not list((tmp_path / "parts").glob("*.json"))
    monkeypatch.undo()
    (resumed,) = evaluate(encoder, tmp_path / "parts", "detection", **options)
    assert resumed.scores == whole.scores and resumed.per_class == whole.per_class
    one, two = (next((tmp_path / part).glob("*/predictions.json")).parent for part in ("whole", "parts"))
    assert (one / "predictions.json").read_bytes() == (two / "predictions.json").read_bytes()
    assert (tmp_path / "parts" / one.name).exists() and not (tmp_path / "parts" / f".{one.name}").exists()


@pytest.mark.slow
def test_images_that_vanish_are_left_out(evaluate, encoder, tmp_path, monkeypatch):
    """VOC, whose image goes between the opening of the data and the training."""
    names = [f"a{number}" for number in range(4)]
    box = ("cat", (1, 1, 15, 9), False)
    voc = write_voc(tmp_path / "cells", {"trainval": names[:3], "test": names[3:]}, dict.fromkeys(names, [box]))
    train, done = detecting.train_detector, []

    def then_train(task, detector):
        if not done:
            done.append(True)
            (voc / "JPEGImages" / "a1.jpg").unlink()
        return train(task, detector)

    monkeypatch.setattr("barlowtf.evaluation.detection.train_detector", then_train)
    overrides = (*TINY, "steps=3", "measure=voc")
    (result,) = evaluate(encoder, tmp_path / "out", "detection", source=str(voc), variant="small", overrides=overrides)
    assert (result.data.train_images, result.data.test_images) == (2, 1)
    assert [line["image"] for line in read_lines(tmp_path / "out" / "skipped.jsonl")] == [
        str(voc / "JPEGImages" / "a1.jpg")
    ]
    (file,) = (tmp_path / "out").glob("*/predictions.json")
    assert {line["image_id"] for line in json.loads(file.read_text())} <= {"a3"}


def test_what_is_refused(evaluate, encoder, scenes, tmp_path, caplog):
    make_encoder("vit_ti16", image_shape=(32, 32, 3)).save(tmp_path / "vit.keras")
    options = {"source": str(scenes), "variant": "small", "overrides": TINY}
    with pytest.raises(ConfigError, match="which has no stages conv4 and conv5, expected a ResNet") as caught:
        evaluate(tmp_path / "vit.keras", tmp_path / "out", "detection", **options)
    assert "\n" not in str(caught.value)
    assert "objects of scenes" not in caplog.text and not (tmp_path / "out").exists(), "before the data is read"
    options["overrides"] = (*TINY, "batch_size=5")
    with pytest.raises(ConfigError, match="Invalid batch_size: received 5 for 4 images and 1 replicas, expected"):
        evaluate(encoder, tmp_path / "out", "detection", **options)
    options["overrides"] = (*TINY, "measure=voc")
    with pytest.raises(ConfigError, match='Invalid measure: received "voc", expected "coco"'):
        evaluate(encoder, tmp_path / "out", "segmentation", **options)
    names = ["a", "b", "c"]
    box = ("cat", (1, 1, 20, 10), False)
    voc = write_voc(tmp_path / "cells", {"trainval": names[:2], "test": names[2:]}, dict.fromkeys(names, [box]))
    options = {"source": str(voc), "variant": "small", "overrides": TINY}
    with pytest.raises(DataError, match="have boxes and no masks, expected polygons.* Use --protocol detection"):
        evaluate(encoder, tmp_path / "out", "segmentation", **options)
