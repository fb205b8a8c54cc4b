"""The files under docs/cluster, run here as far as that goes: with stand-ins for srun, gcloud and barlowtf."""

import json
import os
import signal
import stat
import subprocess
from pathlib import Path

import click
import pytest
import yaml
from barlowtf_cli.main import main
from barlowtf_cli.pretrain import pretrain

from barlowtf.config import load_recipe

PLACE = Path(__file__).parents[1] / "docs" / "cluster"
SCRIPTS = ["slurm.sh", "tpu.sh"]

# Each word on a line of its own; the environment that matters; its process.
BARLOWTF = """#!/bin/sh
printf '%s\\n' "$@" >"$RECORDS/words"
printf '%s' "${TF_CONFIG:-}" >"$RECORDS/tf_config"
printf '%s' "${TPU_NAME:-}" >"$RECORDS/tpu_name"
printf '%s' "$$" >"$RECORDS/process"
"""
SRUN = """#!/bin/sh
while [ "$1" != barlowtf ]; do
  printf '%s\\n' "$1" >>"$RECORDS/srun"
  shift
done
exec "$@"
"""
GCLOUD = """#!/bin/sh
printf '%s ' "$@" >>"$RECORDS/gcloud"
printf '\\n' >>"$RECORDS/gcloud"
for word in "$@"; do
  case $word in
  --command=*"barlowtf pretrain"*) sh -c "${word#--command=}" ;;
  esac
done
"""


@pytest.fixture
def records(tmp_path, monkeypatch):
    """Folder in which the stand-ins, first on PATH, note how they were called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, text in (("barlowtf", BARLOWTF), ("srun", SRUN), ("gcloud", GCLOUD), ("python", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("RECORDS", str(tmp_path))
    monkeypatch.delenv("TF_CONFIG", raising=False)
    return tmp_path


def parsed(records):
    """Options of the barlowtf command that was run; the command line itself reads them."""
    command, *words = (records / "words").read_text().splitlines()
    assert command == "pretrain"
    parent = click.Context(main, **main.context_settings)  # click keeps the help option that the first parse made
    options = pretrain.make_context("pretrain", words, parent=parent).params
    load_recipe(options["config"])
    return options


def manifest():
    return {document["kind"]: document for document in yaml.safe_load_all((PLACE / "kubernetes.yaml").read_text())}


def job_and_container():
    job = manifest()["Job"]["spec"]
    (container,) = job["template"]["spec"]["containers"]
    return job, container


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_bash_that_may_be_started(name):
    subprocess.run(["bash", "-n", PLACE / name], check=True)
    assert (PLACE / name).stat().st_mode & stat.S_IXUSR


def test_slurm(records):
    environment = {**os.environ, "SLURM_CPUS_PER_TASK": "64", "SHARED": "/lustre/a b"}
    subprocess.run(["bash", PLACE / "slurm.sh"], check=True, env=environment)
    options = parsed(records)
    assert (options["config"], options["strategy"]) == ("imagenet-1000ep", "multiworker")
    assert str(options["run_dir"]) == "/lustre/a b/runs/imagenet-1000ep"
    # Else the first worker to end, with the status of its signal, would take the chief down before the requeue.
    assert {"--cpus-per-task=64", "--kill-on-bad-exit=0"} <= set((records / "srun").read_text().splitlines())


def test_slurm_options_come_before_the_first_command():
    """For sbatch reads no further; a signal with B: would reach the script alone."""
    lines = (PLACE / "slurm.sh").read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    options = {line.removeprefix("#SBATCH ") for line in lines[:first] if line.startswith("#SBATCH")}
    expected = {"--nodes=2", "--ntasks-per-node=1", "--signal=USR1@120", "--requeue", "--open-mode=append"}
    assert expected <= options
    assert not any(line.startswith("#SBATCH") for line in lines[first:])


@pytest.mark.parametrize("index", [0, 1])
def test_kubernetes_workers_find_one_another(records, index):
    job, container = job_and_container()
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    environment = {**os.environ, **variables, "JOB_COMPLETION_INDEX": str(index)}
    process = subprocess.Popen([*container["command"], *container["args"]], env=environment)
    assert process.wait(timeout=300) == 0

    name, subdomain = manifest()["Job"]["metadata"]["name"], job["template"]["spec"]["subdomain"]
    port = container["ports"][0]["containerPort"]
    addresses = [f"{name}-{number}.{subdomain}:{port}" for number in range(job["completions"])]
    expected = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    assert json.loads((records / "tf_config").read_text()) == expected
    assert int((records / "process").read_text()) == process.pid  # so it gets the pod's SIGTERM

    options = parsed(records)
    assert (options["config"], options["strategy"]) == ("imagenet-1000ep", "multiworker")
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    assert any(str(options["run_dir"]).startswith(f"{mount}/") for mount in mounts)


def test_kubernetes_objects_fit_together():
    service, claim = manifest()["Service"], manifest()["PersistentVolumeClaim"]
    job, container = job_and_container()
    template = job["template"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"].items() <= template["metadata"]["labels"].items()
    assert template["spec"]["subdomain"] == service["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
    assert volumes["shared"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)

    workers = next(int(entry["value"]) for entry in container["env"] if entry["name"] == "WORKERS")
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == job["parallelism"] == workers == 2
    assert template["spec"]["terminationGracePeriodSeconds"] == 120
    # What podFailurePolicy needs, and the status of a run that SIGTERM has stopped.
    assert template["spec"]["restartPolicy"] == "Never"
    assert job["podReplacementPolicy"] == "Failed"
    codes = {rule["action"]: rule["onExitCodes"] for rule in job["podFailurePolicy"]["rules"] if "onExitCodes" in rule}
    assert {each["containerName"] for each in codes.values()} == {container["name"]}
    assert codes["Ignore"]["values"] == [128 + signal.SIGTERM]
    assert codes["FailJob"]["values"] == [2]


def test_tpu(records):
    for step in ("create", "install", "pretrain", "delete"):
        subprocess.run([PLACE / "tpu.sh", step], check=True, cwd=records, env={**os.environ, "DISK": "projects/p/d"})
    options = parsed(records)
    assert (options["config"], options["strategy"]) == ("imagenet-1000ep", "tpu")
    assert (records / "tpu_name").read_text() == "local"
    create, *_, delete = (records / "gcloud").read_text().splitlines()
    assert create.startswith("compute tpus tpu-vm create barlowtf --zone=")
    assert "--data-disk=source=projects/p/d,mode=read-write" in create.split()
    assert delete.startswith("compute tpus tpu-vm delete barlowtf --zone=")


def test_tpu_without_a_step_says_how(records):
    ended = subprocess.run([PLACE / "tpu.sh"], check=False, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "create | install | pretrain | delete" in ended.stderr
    assert not (records / "gcloud").exists()
