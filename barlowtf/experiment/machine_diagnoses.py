"""What can be wrong with a machine or an installation."""

from collections.abc import Iterator

from barlowtf.experiment.diagnosis import Diagnosis, Symptom
from barlowtf.experiment.machine_facts import MachineFacts
from barlowtf.train.stepping import COMPUTE_CAPABILITY_WITHOUT_XLA

_GIGABYTE = 10**9
_FULL_DISK, _LITTLE_DISK, _LITTLE_MEMORY = 1.0, 10.0, 3.0
_THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS")


def _unmet(machine: MachineFacts) -> Iterator[Symptom]:
    if machine.unmet:
        yield Symptom(f"{len(machine.unmet)} required packages are missing or of another version.", machine.unmet)


def _hidden_gpus(machine: MachineFacts) -> Iterator[Symptom]:
    if machine.hidden_gpus and machine.variables.get("CUDA_VISIBLE_DEVICES") is None:
        yield Symptom(f"TensorFlow does not see {machine.hidden_gpus} of this machine's GPUs.")


def _masked_gpus(machine: MachineFacts) -> Iterator[Symptom]:
    mask = machine.variables.get("CUDA_VISIBLE_DEVICES")
    if machine.hidden_gpus and mask is not None:
        yield Symptom(f"CUDA_VISIBLE_DEVICES={mask} hides {machine.hidden_gpus} of this machine's GPUs.")


def _full_disk(machine: MachineFacts) -> Iterator[Symptom]:
    if machine.disk_free < _FULL_DISK * _GIGABYTE:
        yield Symptom(f"{machine.disk_free / _GIGABYTE:.2f} GB are free at {machine.disk}.")


def _little_disk(machine: MachineFacts) -> Iterator[Symptom]:
    if _FULL_DISK <= machine.disk_free / _GIGABYTE < _LITTLE_DISK:
        yield Symptom(f"{machine.disk_free / _GIGABYTE:.1f} GB are free at {machine.disk}.")


def _little_memory(machine: MachineFacts) -> Iterator[Symptom]:
    if machine.memory < _LITTLE_MEMORY * _GIGABYTE:
        yield Symptom(f"This process may use {machine.memory / _GIGABYTE:.1f} GB of memory.")


def _xla(machine: MachineFacts) -> Iterator[Symptom]:
    newest = [device.name for device in machine.devices if _is_beyond(device.compute_capability)]
    if newest:
        yield Symptom(f"This TensorFlow aborts under XLA on {len(newest)} GPUs (tensorflow issue 111958).", newest)


def _is_beyond(capability: tuple[int, int] | None) -> bool:
    return capability is not None and capability >= COMPUTE_CAPABILITY_WITHOUT_XLA


def _few_threads(machine: MachineFacts) -> Iterator[Symptom]:
    limits = [f"{name}={machine.variables[name]}" for name in _THREADS if machine.variables.get(name, "0") != "0"]
    few = [
        limit for limit in limits if limit.partition("=")[2].isdigit() and int(limit.partition("=")[2]) < machine.cores
    ]
    if few:
        yield Symptom(f"{' and '.join(few)} leaves cores unused: {machine.cores} may be used.")
    if machine.cores < machine.all_cores:
        yield Symptom(f"This process may use {machine.cores} of {machine.all_cores} cores.")


def _no_onednn(machine: MachineFacts) -> Iterator[Symptom]:
    if machine.variables.get("TF_ENABLE_ONEDNN_OPTS") == "0" and not machine.devices:
        yield Symptom("TF_ENABLE_ONEDNN_OPTS=0 turns off the fast kernels of the processor.")


MACHINE_DIAGNOSES: dict[str, Diagnosis[MachineFacts]] = {
    "packages": Diagnosis(
        "harm",
        "required packages that are missing or of another version",
        "Install the package again, in an environment of its own.",
        _unmet,
    ),
    "unseen GPUs": Diagnosis(
        "harm",
        "NVIDIA GPUs that the system has and TensorFlow does not see",
        "Install barlowtf[gpu], which brings CUDA, and a driver for CUDA 12.5 or newer.",
        _hidden_gpus,
    ),
    "full disk": Diagnosis(
        "harm",
        f"less than {_FULL_DISK:g} GB free where runs lie",
        "Free some space, or choose another --run-dir.",
        _full_disk,
    ),
    "memory": Diagnosis(
        "harm",
        f"less than {_LITTLE_MEMORY:g} GB of memory",
        "Use a small encoder and batch; a container's limit may be the cause.",
        _little_memory,
    ),
    "little disk": Diagnosis(
        "note",
        f"less than {_LITTLE_DISK:g} GB free where runs lie",
        "A checkpoint of the authors' ResNet-50 takes 1.4 GB, and checkpoint.keep of them stay: free some space.",
        _little_disk,
    ),
    "hidden GPUs": Diagnosis("note", "GPUs hidden by CUDA_VISIBLE_DEVICES", "Unset it to use them.", _masked_gpus),
    "XLA": Diagnosis(
        "note",
        "GPUs of compute capability 12.0 or newer, where XLA aborts",
        'Leave train.xla = "auto", which leaves XLA off there.',
        _xla,
    ),
    "threads": Diagnosis(
        "note",
        "cores that this process may not use",
        "Unset the variable, or give the process more cores.",
        _few_threads,
    ),
    "oneDNN": Diagnosis("note", "a processor without oneDNN's kernels", "Unset it to train faster.", _no_onednn),
}
