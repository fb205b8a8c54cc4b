"""A run that goes on finds the images that it began with, wherever they lie; on others it does not go on by itself."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.errors import CheckpointError
from barlowtf.experiment.same_images import require_same_images
from barlowtf.records import RunData, RunSteps, append_line, write_record
from barlowtf.train import callbacks
from tests.result_records import make_run_info

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

BEFORE = RunData(source="photos", images=60, fingerprint="1" * 64)
REPLACED = BEFORE.model_copy(update={"fingerprint": "2" * 64})
ADDED = REPLACED.model_copy(update={"images": 61})
SMALL = [
    "augment.size=8",
    "augment.mean=[0.5]",
    "augment.std=[0.25]",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=8",
    "train.epochs=2",
    "optimizer.warmup_epochs=0",
    "monitor.collapse_every_epochs=none",
    "checkpoint.every_steps=1",
    "checkpoint.keep=9",
]


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture
def finished(tmp_path):
    """Function (data): the folder of a finished run on these images."""

    def make(images):
        write_record(tmp_path / "run.json", make_run_info(data=images))
        return runs.RunFolder(tmp_path)

    return make


def test_equal_images_are_the_same(finished):
    assert require_same_images(finished(BEFORE), BEFORE, "sample") == BEFORE


def test_where_they_lie_does_not_matter(finished):
    moved = BEFORE.model_copy(update={"source": "/elsewhere/photos"})
    assert require_same_images(finished(BEFORE), moved, "sample") == moved


def test_other_labeled_images_are_said_and_recorded(finished, caplog):
    began = BEFORE.model_copy(update={"measured": ("3" * 64, "4" * 64)})
    assert require_same_images(finished(began), began, "sample") == began
    assert not caplog.records
    now = began.model_copy(update={"measured": ("3" * 64, "5" * 64)})
    with pytest.raises(CheckpointError):
        require_same_images(finished(began), now.model_copy(update={"images": 61, "fingerprint": ""}), "sample")
    assert not caplog.records
    assert require_same_images(finished(began), now, "sample") == now
    assert "is measured on other labeled images than it began with" in caplog.text


def test_others_are_refused_with_both_fingerprints_and_the_way_out(finished):
    run = finished(BEFORE)
    with pytest.raises(CheckpointError, match=r"fingerprint 11111111 then, 22222222 now\. .*--extend"):
        require_same_images(run, REPLACED, "sample")
    with pytest.raises(CheckpointError, match="60 images then, 61 now; fingerprint 1{8} then, 2{8} now"):
        require_same_images(run, ADDED, "sample")
    # Their number sets steps and order of the run.
    with pytest.raises(CheckpointError, match="60 images then, 61 now"):
        require_same_images(run, ADDED, "off")


def test_the_way_out_is_a_whole_command(finished):
    run = finished(BEFORE)
    write_record(run.info, make_run_info(data=BEFORE, status="interrupted", steps=RunSteps(total=40, per_epoch=8)))
    (run.checkpoints / "step-00000019").mkdir(parents=True)
    moved = ADDED.model_copy(update={"source": "my photos"})
    with pytest.raises(CheckpointError, match=f"pretrain --extend {run.path} --data 'my photos' --epochs 3\\.$"):
        require_same_images(run, moved, "off")


def test_a_broken_image_that_was_deleted_is_named_with_what_stands_in_for_it(finished, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    before = BEFORE.model_copy(update={"source": str(photos)})
    now = before.model_copy(update={"images": 59, "fingerprint": "3" * 64})
    run = finished(before)
    line = {"reason": "no image", "data": "photos train", "number": 7}
    append_line(run.skipped(), {"image": str(photos / "broken.jpg"), **line})
    with pytest.raises(CheckpointError, match=f": touch {photos}/broken.jpg, then the same command with"):
        require_same_images(run, now, "sample")
    # Another one is missing, too.
    with pytest.raises(CheckpointError, match=r"now\. Restore them"):
        require_same_images(run, now.model_copy(update={"images": 58}), "sample")
    (photos / "broken.jpg").touch()
    with pytest.raises(CheckpointError, match=r"now\. Restore them"):
        require_same_images(run, now, "sample")


def test_accepted_images_are_recorded_with_those_before(finished):
    accepted = require_same_images(finished(BEFORE), REPLACED, "off")
    assert accepted.fingerprint == REPLACED.fingerprint
    assert accepted.accepted == (BEFORE.fingerprint,)
    assert require_same_images(finished(accepted), REPLACED, "sample").accepted == (BEFORE.fingerprint,)


def test_all_bytes_are_compared_once_they_are_known(finished):
    full = BEFORE.model_copy(update={"content": "3" * 64})
    run = finished(BEFORE)
    assert require_same_images(run, full, "full").content == full.content
    run = finished(full)
    # A sample does not forget them.
    assert require_same_images(run, BEFORE, "sample").content == full.content
    with pytest.raises(CheckpointError, match="fingerprint 33333333 then, 44444444 now"):
        require_same_images(run, full.model_copy(update={"content": "4" * 64}), "full")


def test_a_run_without_a_checkpoint_begins_anew(finished):
    run = finished(BEFORE)
    write_record(run.info, make_run_info(data=BEFORE, status="interrupted"))
    assert require_same_images(run, ADDED, "sample") == ADDED


@pytest.mark.slow
def test_a_run_goes_on_from_any_directory_and_not_on_other_images(tmp_path, monkeypatch):
    r = np.random.default_rng(0)
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(24):
        Image.fromarray(r.integers(0, 256, (12, 12), np.uint8)).save(photos / f"{number:02}.bmp")
    monkeypatch.chdir(tmp_path)

    def pretrain(source, **options):
        recipe = load_recipe("digits", [f"data.source={source}", *SMALL])
        return experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / "run", **options))

    original = callbacks.StepMetrics.on_train_batch_end

    def stop(self, batch, logs):
        if int(logs["step"]) > 1:
            raise Stop
        original(self, batch, logs)

    with monkeypatch.context() as stopped:
        stopped.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
        with pytest.raises(Stop):
            pretrain("photos/")
    run = runs.RunFolder(tmp_path / "run")
    assert load_recipe(run.recipe).data.source == str(photos)
    kept = (photos / "07.bmp").read_bytes()
    (photos / "07.bmp").write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="was trained on other images: fingerprint"):
        pretrain(str(photos))
    (photos / "07.bmp").write_bytes(kept)

    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(photos, elsewhere / "photos")
    monkeypatch.chdir(elsewhere)
    info = pretrain(f"..{os.sep}elsewhere{os.sep}photos", check_data="full")
    assert info.status == "finished"
    assert info.data.content is not None
    assert load_recipe(run.recipe).data.source == str(elsewhere / "photos")
    (elsewhere / "photos" / "99.bmp").write_bytes(kept)
    with pytest.raises(CheckpointError, match="24 images then, 25 now"):
        pretrain("photos")
