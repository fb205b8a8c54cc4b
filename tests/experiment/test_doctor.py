"""The doctor on written folders and machines; and once on real runs that went wrong."""

import json

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment, runs
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import CheckpointError, Interrupted, TrainingError
from barlowtf.experiment import diagnose, explain_health
from barlowtf.experiment.diagnosis import find_in
from barlowtf.experiment.machine_diagnoses import MACHINE_DIAGNOSES
from barlowtf.experiment.machine_facts import DeviceFacts, MachineFacts
from barlowtf.records import RunResult, RunVerdict, append_line, write_record
from barlowtf.train import callbacks
from tests.experiment.test_run_diagnoses import INFO, METRICS

MACHINE = MachineFacts(
    versions={"tensorflow": "2.21.0"},
    unmet=(),
    extras={"torch": "PyTorch weights and exports", "onnx": None},
    devices=(DeviceFacts(name="NVIDIA H100", kind="GPU", compute_capability=(9, 0)),),
    device_memory=80 * 10**9,
    hidden_gpus=0,
    bfloat16=True,
    cores=16,
    all_cores=16,
    memory=128 * 10**9,
    disk="runs",
    disk_free=500 * 10**9,
    variables={},
)
BLACKWELL = DeviceFacts(name="NVIDIA B200", kind="GPU", compute_capability=(12, 0))
PROVOKED = [
    ("packages", {"unmet": ("keras 3.11, expected <3.16,>=3.15",)}, "1 required"),
    ("unseen GPUs", {"hidden_gpus": 2, "devices": ()}, "does not see 2 of"),
    ("hidden GPUs", {"hidden_gpus": 1, "variables": {"CUDA_VISIBLE_DEVICES": "0"}}, "CUDA_VISIBLE_DEVICES=0 hides 1"),
    ("full disk", {"disk_free": 10**8}, "0.10 GB are free at runs"),
    ("little disk", {"disk_free": 5 * 10**9}, "5.0 GB"),
    ("memory", {"memory": 2 * 10**9}, "2.0 GB of memory"),
    ("XLA", {"devices": (BLACKWELL,)}, "aborts under XLA on 1"),
    ("threads", {"variables": {"OMP_NUM_THREADS": "1"}}, "OMP_NUM_THREADS=1 leaves cores unused: 16"),
    ("threads", {"cores": 4}, "4 of 16 cores"),
    ("oneDNN", {"devices": (), "variables": {"TF_ENABLE_ONEDNN_OPTS": "0"}}, "turns off the fast kernels"),
]


def test_nothing_is_found_on_a_healthy_machine():
    assert find_in(MACHINE, MACHINE_DIAGNOSES) == ()


@pytest.mark.parametrize(("name", "changes", "said"), PROVOKED, ids=[name for name, *_ in PROVOKED])
def test_a_diagnosis_of_the_machine_is_provoked(name, changes, said):
    (found,) = find_in(MACHINE.model_copy(update=changes), MACHINE_DIAGNOSES)
    assert found.name == name and said in found.what


def test_every_diagnosis_of_the_machine_is_provoked_above():
    assert {name for name, *_ in PROVOKED} == set(MACHINE_DIAGNOSES)


def test_this_machine_is_described(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = json.loads(CliRunner().invoke(main, ["doctor", "--json"]).stdout)
    assert values["machine"]["unmet"] == [] and values["machine"]["cores"] >= 1
    assert values["machine"]["disk"] == str(tmp_path) and values["machine"]["memory"] > 10**9
    text = explain_health(diagnose())
    assert "tensorflow 2.21" in text and "GB free at" in text


@pytest.fixture
def run(tmp_path):
    """A written run folder that is well."""
    folder = runs.RunFolder(tmp_path / "run")
    folder.path.mkdir()
    folder.recipe.write_text(dump_recipe(load_recipe("imagenet-b256")))
    write_record(folder.info, INFO)
    for line in METRICS:
        append_line(folder.metrics, line)
    folder.encoder.write_bytes(b"")
    (folder.checkpoints / "step-00000400").mkdir(parents=True)
    return folder


def test_a_healthy_run_is_told_as_such(run):
    result = CliRunner().invoke(main, ["doctor", str(run.path)])
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()] == "run status loss rank kNN speed found".split()
    assert "finished, step 400" in result.stdout and "1.0 % of it waiting for images" in result.stdout


def test_the_verdict_of_a_run_is_told_again(run):
    verdict = RunVerdict(kind="flat", sentence="flat: more epochs gain little.", notes=())
    result = RunResult(knn_top1_before=None, knn_top1=None, loss=1.0, images_per_second_median=None, verdict=verdict)
    write_record(run.info, INFO.model_copy(update={"result": result}))
    result = CliRunner().invoke(main, ["doctor", str(run.path)])
    assert "verdict      flat: more epochs gain little." in result.stdout


def test_a_run_that_was_killed_is_told_from_one_that_goes_on(run):
    write_record(run.info, INFO.model_copy(update={"status": "running"}))
    result = CliRunner().invoke(main, ["doctor", str(run.path)])
    assert result.exit_code == 1
    assert "killed, step 400" in result.stdout
    assert "was killed at step 400 of 1,000, saved at step 400. Run the same" in result.stdout
    assert f"command: {INFO.command}" in result.stdout
    with runs.locked(run.path):
        health = diagnose(run.path)
    assert (health.status, health.findings) == ("running", ())


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(CheckpointError, match="is not a run folder: it holds no recipe.toml"):
        diagnose(tmp_path)


@pytest.mark.slow
# Keras writes .keras files with an array method that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_real_runs_that_go_wrong(tmp_path, monkeypatch):
    """A value that is not finite, a collapse, and a run that was stopped: each seen by its files alone."""
    small = ["augment.size=8", "model.encoder=resnet10_w0p0625", "model.projector=[64]", "monitor.every_steps=2"]
    short = ["train.epochs=4", "optimizer.warmup_epochs=0", "monitor.collapse_every_epochs=1"]

    def pretrain(name, *overrides):
        recipe = load_recipe("digits", [*small, *short, *overrides])
        return experiment.pretrain(experiment.PretrainRequest(recipe, tmp_path / name))

    with pytest.raises(TrainingError, match="is not finite"):
        pretrain("infinite", "optimizer.learning_rate=1e30")
    # Nothing keeps the dimensions apart.
    pretrain("collapsed", "loss.lambd=0.0", "optimizer.learning_rate=0.1", "train.epochs=8")
    original = callbacks.StepMetrics.on_train_batch_end

    def stop(self, batch, logs):
        original(self, batch, logs)
        self.model.stop_training = logs["step"] == 3

    monkeypatch.setattr(callbacks.StepMetrics, "on_train_batch_end", stop)
    with pytest.raises(Interrupted):
        pretrain("stopped")
    found = {
        name: {finding.name: finding for finding in diagnose(tmp_path / name).findings if finding.severity == "harm"}
        for name in ("infinite", "collapsed", "stopped")
    }
    assert "Step 2 is not finite" in found["infinite"]["failures"].evidence[0]
    assert "The embeddings have collapsed" in found["collapsed"]["collapse"].what
    assert "was stopped at step 3 of 88, saved at step 3." in found["stopped"]["stopped"].what
    assert [set(findings) & {"failures", "collapse", "stopped"} for findings in found.values()] == [
        {"failures"},
        {"collapse"},
        {"stopped"},
    ]
    assert 0.0 <= diagnose(tmp_path / "collapsed").figures["input_wait"] <= 1.0
