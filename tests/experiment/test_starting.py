"""Runs that start from weights or go on from another run: what they take over, and that they resume bit for bit."""

import math

import numpy as np
import pytest
import tensorflow as tf

from barlowtf import experiment, runs
from barlowtf.config import load_recipe
from barlowtf.encoders.loading import load_keras
from barlowtf.encoders.restoring import restore_parts
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.experiment.starting import extended_recipe, with_origin
from barlowtf.models import checkpoint
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.records import read_lines, write_record
from barlowtf.train import callbacks
from tests.result_records import make_run_info

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

# Three steps an epoch.
SMALL = [
    "augment.size=8",
    "model.encoder=resnet10_w0p0625",
    "model.projector=[16, 16]",
    "train.batch_size=400",
    "train.epochs=2",
    "optimizer.warmup_epochs=0",
    "monitor.every_steps=1",
    "monitor.knn_every_epochs=9",
    "monitor.collapse_every_epochs=none",
    "checkpoint.every_steps=2",
    "checkpoint.keep=9",
]


def pretrain(recipe, folder, **options):
    experiment.pretrain(experiment.PretrainRequest(recipe, folder, **options))
    return runs.RunFolder(folder)


def state(run, step):
    """Returns every saved value of a checkpoint."""
    reader = tf.train.load_checkpoint(str(run.checkpoints / f"step-{step:08d}" / "state"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name[0] != "_"}


def assert_equal_states(first, second):
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


class Stop(Exception):
    """Stands for whatever ends a process."""


@pytest.fixture
def stop_after(monkeypatch):
    """Function (step, recipe, folder): runs until after this step, as if the process were killed there."""

    def call(step, recipe, folder):
        original = callbacks.StepMetrics.on_train_batch_end

        def stop(self, batch, logs):
            if int(logs["step"]) > step:
                raise Stop
            original(self, batch, logs)

        monkeypatch.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
        with pytest.raises(Stop):
            pretrain(recipe, folder)
        monkeypatch.undo()
        return runs.RunFolder(folder)

    return call


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A finished run of 6 steps, AdamW."""
    return pretrain(load_recipe("digits", SMALL), tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def frozen_recipe(first):
    """From 1 channel to 3, with a new projector that learns alone in steps 1 to 3."""
    settings = [
        f"model.init={first.path}",
        "model.projector=[16, 12]",
        "train.freeze_encoder_epochs=1",
        "data.channels=3",
        "augment.mean=[0.3]",
        "checkpoint.every_steps=3",
    ]
    return load_recipe("digits", [*SMALL, *settings])


@pytest.fixture(scope="module")
def frozen(frozen_recipe, tmp_path_factory):
    return pretrain(frozen_recipe, tmp_path_factory.mktemp("runs") / "frozen")


@pytest.mark.slow
def test_the_encoder_stays_as_it_was_until_the_projector_has_learned(frozen, first):
    info = frozen.read_info()
    origin = load_keras(first.encoder)
    assert info.init.spec == str(first.path)
    assert info.init.sha256 == weights_sha256(origin)
    assert (info.init.taken, info.init.adapted) == (("encoder",), ("conv1/kernel: 1 -> 3 channels by repeat",))
    at_3, at_6 = (restore_parts(frozen, str(step)) for step in (3, 6))
    for weight, start in zip(at_3.encoder.weights[1:], origin.weights[1:], strict=True):
        np.testing.assert_array_equal(weight.numpy(), start.numpy(), err_msg=weight.path)
    # From 1 channel to 3: each has a third.
    np.testing.assert_allclose(at_3.encoder.weights[0][:, :, :1], origin.weights[0] / 3.0, rtol=1e-6)
    for part in ("encoder", "projector"):
        before, after = (getattr(parts, part).weights for parts in (at_3, at_6))
        assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True)), part


@pytest.mark.slow
def test_accuracy_before_is_that_of_the_weights(frozen, first):
    """The images are gray, so the encoder of three channels gives the features that the first run ended with."""
    before = frozen.read_info().result.knn_top1_before
    assert before == pytest.approx(first.read_info().result.knn_top1, abs=0.01)
    assert before > first.read_info().result.knn_top1_before


@pytest.mark.slow
def test_a_run_resumes_bit_for_bit_on_both_sides_of_the_end_of_the_frozen_phase(
    frozen, frozen_recipe, tmp_path, stop_after
):
    recipe = frozen_recipe.model_copy(
        update={"checkpoint": frozen_recipe.checkpoint.model_copy(update={"every_steps": 1})}
    )
    for step in (2, 3):
        folder = tmp_path / str(step)
        stop_after(step, recipe, folder)
        assert_equal_states(state(pretrain(recipe, folder), 6), state(frozen, 6))


@pytest.mark.slow
def test_a_killed_run_needs_its_init_only_before_its_first_checkpoint(first, tmp_path, stop_after):
    origin = tmp_path / "origin.keras"
    load_keras(first.encoder).save(origin)
    recipe = load_recipe("digits", [*SMALL, f"model.init={origin}", "augment.mean=[0.3]"])
    run = stop_after(1, recipe, tmp_path / "run")
    sha256 = run.read_info().init.sha256
    other = load_keras(first.encoder)
    other.weights[0].assign(2.0 * other.weights[0])
    other.save(origin)
    with pytest.raises(CheckpointError, match=f"has started from other weights: sha256 {sha256[:8]} then, "):
        pretrain(recipe, run.path)
    load_keras(first.encoder).save(origin)
    stop_after(3, recipe, run.path)
    origin.unlink()
    assert pretrain(recipe, run.path).read_info().init.sha256 == sha256


@pytest.mark.slow
def test_weights_that_do_not_fit_leave_no_run_folder(first, tmp_path):
    recipe = load_recipe("digits", [*SMALL, f"model.init={first.path}", "model.encoder=resnet18_w0p0625"])
    for start in (experiment.pretrain, experiment.plan):
        with pytest.raises(ConfigError, match="Set model.encoder to resnet10_w0p0625"):
            start(experiment.PretrainRequest(recipe, tmp_path / "run"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_replicas_with_a_frozen_encoder_end_as_one(frozen, frozen_recipe, two_replicas, monkeypatch, tmp_path):
    import importlib

    module = importlib.import_module("barlowtf.experiment.pretrain")
    monkeypatch.setattr(module, "make_strategy", lambda *_: two_replicas)
    run = pretrain(frozen_recipe, tmp_path / "run")
    alone = [record for record in read_lines(frozen.metrics) if "loss" in record]
    spread = [record for record in read_lines(run.metrics) if "loss" in record]
    for one, two in zip(alone, spread, strict=True):
        # float32 sums in another order, which Adam's division carries on from step to step.
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5 if one["step"] < 4 else 1e-2)
    at_3 = restore_parts(run, "3").encoder
    for weight, start in zip(at_3.weights, restore_parts(frozen, "3").encoder.weights, strict=True):
        np.testing.assert_array_equal(weight.numpy(), start.numpy(), err_msg=weight.path)


@pytest.fixture(scope="module")
def extended(first, tmp_path_factory):
    recipe = extended_recipe(first.path, ["train.epochs=1", "optimizer.learning_rate=0.001"])
    return recipe, pretrain(recipe, tmp_path_factory.mktemp("runs") / "extended")


@pytest.mark.slow
def test_an_extension_takes_over_weights_and_optimizer(first, extended):
    recipe, run = extended
    assert (recipe.parent.run, recipe.parent.updates, recipe.parent.epochs) == (str(first.path), 6, 2)
    assert_equal_states(state(first, 6), state(run, 0))
    info = run.read_info()
    assert info.parent.model_dump() == {
        "run": str(first.path),
        "step": 6,
        "sha256": weights_sha256(load_keras(first.encoder)),
    }
    assert info.result.knn_top1_before == first.read_info().result.knn_top1
    records = [record for record in read_lines(run.metrics) if "loss" in record]
    assert [record["step"] for record in records] == [1, 2, 3]
    # The new schedule begins at its peak, and the optimizer counts on.
    peak = 0.001 * 400 / 256
    expected = [peak * (0.999 * (1 + math.cos(math.pi * s / 3)) / 2 + 0.001) for s in (1, 2, 3)]
    assert [record["learning_rate"] for record in records] == pytest.approx(expected, rel=1e-5)
    assert state(run, 2)[_iterations(state(run, 2))] == 8


def _iterations(values):
    return next(name for name in values if name.startswith("values/optimizer-0/"))


@pytest.mark.slow
def test_an_extension_resumes_bit_for_bit_and_without_its_parent(extended, tmp_path, stop_after, first):
    recipe, run = extended
    (tmp_path / "first").symlink_to(first.path)
    moved = recipe.model_copy(update={"parent": recipe.parent.model_copy(update={"run": str(tmp_path / "first")})})
    broken = stop_after(0, moved, tmp_path / "broken")
    (tmp_path / "first").unlink()
    assert extended_recipe(tmp_path / "first", run_dir=broken.path) == moved
    stop_after(2, moved, broken.path)
    assert_equal_states(state(pretrain(moved, broken.path), 3), state(run, 3))


@pytest.mark.slow
def test_an_extension_with_the_schedule_of_its_parent_is_the_longer_run(tmp_path):
    """At a constant rate 3 epochs in one run are 2 epochs and 1 more: order, draws and the optimizer go on."""
    settings = [*SMALL, "optimizer.final_scale=1.0"]
    whole = pretrain(load_recipe("digits", [*settings, "train.epochs=3"]), tmp_path / "whole")
    pretrain(load_recipe("digits", settings), tmp_path / "first")
    recipe = extended_recipe(tmp_path / "first", ["train.epochs=1"])
    assert_equal_states(state(pretrain(recipe, tmp_path / "more"), 3), state(whole, 9))
    again = extended_recipe(tmp_path / "more", [])
    assert (again.parent.updates, again.parent.epochs) == (9, 3)


@pytest.mark.slow
def test_settings_that_the_state_belongs_to_stay(first):
    with pytest.raises(ConfigError) as caught:
        extended_recipe(first.path, ["model.projector=[8]", "optimizer.name=sgd", "train.epochs=7", "data.channels=3"])
    text = str(caught.value)
    for part in ("data.channels: 1 -> 3", "model.projector: (16, 16) -> (8,)", "optimizer.name: adamw -> sgd"):
        assert part in text
    assert text.endswith(f"start a new run from its weights: --init {first.path}.")
    assert "train.epochs" not in text


@pytest.mark.slow
def test_what_cannot_be_extended(first, tmp_path):
    with pytest.raises(CheckpointError, match="is not a run folder: it holds no recipe.toml"):
        extended_recipe(tmp_path, run_dir=first.path)
    runs.open_run(tmp_path / "new", load_recipe("digits", SMALL))
    with pytest.raises(CheckpointError, match="it has not begun"):
        extended_recipe(tmp_path / "new")
    write_record(tmp_path / "new" / "run.json", make_run_info(status="interrupted"))
    way_out = f"--config {tmp_path}/new/recipe.toml --run-dir {tmp_path}/new --set KEY=VALUE"
    with pytest.raises(CheckpointError, match=f"holds no checkpoint, .* Begin anew in the same folder, .*{way_out}"):
        extended_recipe(tmp_path / "new")
    recipe = extended_recipe(first.path)
    later = recipe.model_copy(update={"parent": recipe.parent.model_copy(update={"updates": 5})})
    with pytest.raises(CheckpointError, match="has no whole checkpoint 5"):
        pretrain(later, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_recipe_starts_from_one_place(first):
    with pytest.raises(ConfigError, match=r"model\.init: received .* expected none where parent\.run"):
        extended_recipe(first.path, ["model.init=other"])
    assert extended_recipe(first.path, ["train.freeze_encoder_epochs=1"]).train.freeze_encoder_epochs == 1
    with pytest.raises(
        ConfigError, match=r"train\.freeze_encoder_epochs: received 1, expected 0 where the encoder sta"
    ):
        load_recipe("digits", ["train.freeze_encoder_epochs=1"])
    too_long = load_recipe("digits", [*SMALL, "train.freeze_encoder_epochs=2", f"model.init={first.path}"])
    with pytest.raises(ConfigError, match=r"received 2, expected less than train\.epochs = 2"):
        pretrain(too_long, first.path)


@pytest.mark.slow
def test_a_run_that_stopped_while_frozen_is_resumed_first(frozen, tmp_path):
    import shutil

    shutil.copytree(frozen.path, tmp_path / "run")
    run = runs.RunFolder(tmp_path / "run")
    assert extended_recipe(run.path).parent.frozen_updates == 3
    for path in checkpoint.list_checkpoints(run.checkpoints):
        shutil.rmtree(path)
    shutil.copytree(frozen.checkpoints / "step-00000003", run.checkpoints / "step-00000002")
    with pytest.raises(CheckpointError, match=r"stopped after step 2, while its encoder was frozen, .* for 3 steps"):
        extended_recipe(run.path)


@pytest.mark.slow
def test_a_recipe_that_is_chosen_takes_the_encoder_of_the_weights(first):
    given = [f"model.init={first.path}", "model.projector=[8]"]
    known = ('model.encoder="resnet10_w0p0625"', 'model.stem="small"')
    assert with_origin(given) == (*known, "model.projector_bias=false", "model.projector_normalization=true", *given)
    assert with_origin(["model.init=keras:MobileNetV3Small"])[0] == 'model.encoder="keras:MobileNetV3Small"'
    assert with_origin(["train.epochs=3"]) == ("train.epochs=3",)
    assert with_origin(["model.init=missing"]) == ("model.init=missing",)
