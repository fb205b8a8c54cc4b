"""What a machine and an installation offer, read for their diagnosis."""

import os
import platform
import shutil
from importlib import metadata, util
from pathlib import Path

import tensorflow as tf
from packaging.requirements import Requirement
from pydantic import Field

from barlowtf.choosing import describe_machine
from barlowtf.records import Record

# Extra of the package -> module of it, and what it is for.
_EXTRAS = {
    "torch": ("torch", "PyTorch weights and exports"),
    "litert": ("ai_edge_litert", "LiteRT without TensorFlow"),
    "onnx": ("tf2onnx", "ONNX exports"),
    "serving": ("tensorflow_serving", "messages of TensorFlow Serving"),
    "tiff": ("imagecodecs", "more compressions of TIFF"),
    "report": ("umap", "UMAP maps in reports"),
}
# What changes how TensorFlow computes or what it sees.
_VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "TF_ENABLE_ONEDNN_OPTS", "TF_XLA_FLAGS", "TF_FORCE_GPU_ALLOW_GROWTH"),
    *("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "TF_CONFIG"),
)


class DeviceFacts(Record):
    """A device that TensorFlow sees beside the processor."""

    name: str = Field(description="its model")
    kind: str = Field(description="GPU, TPU, ...")
    compute_capability: tuple[int, int] | None = Field(description="of an NVIDIA GPU; null: unknown")


class MachineFacts(Record):
    """A machine and an installation."""

    versions: dict[str, str] = Field(description="package -> version, and python")
    unmet: tuple[str, ...] = Field(description="requirements of the package that the installation does not meet")
    extras: dict[str, str | None] = Field(description="extra of the package -> what it is for, null: not installed")
    devices: tuple[DeviceFacts, ...] = Field(description="devices beside the processor")
    device_memory: int | None = Field(description="memory of the smallest GPU, bytes; null: unknown, or none")
    hidden_gpus: int = Field(description="NVIDIA GPUs that the system has and TensorFlow does not see")
    bfloat16: bool = Field(description="whether bfloat16 is faster than float32 on the devices that train")
    cores: int = Field(description="processor cores that this process may use")
    all_cores: int = Field(description="processor cores of the machine")
    memory: int = Field(description="main memory that this process may use, bytes")
    disk: str = Field(description="folder whose disk is measured")
    disk_free: int = Field(description="free space there, bytes")
    variables: dict[str, str] = Field(description="environment variables that change how TensorFlow computes")


def read_machine(folder: Path) -> MachineFacts:
    """Returns what this machine offers.

    Args:
        folder: Where runs lie or will lie; its disk is measured.
    """
    machine = describe_machine()
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    devices = tuple(map(_describe, tf.config.list_physical_devices("GPU") + tf.config.list_physical_devices("TPU")))
    requirements = [Requirement(text) for text in metadata.requires("barlowtf") or ()]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    versions = {each.name: version for each in needed if (version := _version(each.name)) is not None}
    return MachineFacts(
        versions={"python": platform.python_version(), "barlowtf": metadata.version("barlowtf"), **versions},
        unmet=tuple(
            f"{each.name} {versions.get(each.name, 'is missing')}, expected {each.specifier}"
            for each in needed
            if each.name not in versions or not each.specifier.contains(versions[each.name], prereleases=True)
        ),
        extras={extra: purpose if util.find_spec(module) else None for extra, (module, purpose) in _EXTRAS.items()},
        devices=devices,
        device_memory=machine.gpu_memory,
        hidden_gpus=max(_system_gpus() - sum(device.kind == "GPU" for device in devices), 0),
        bfloat16=machine.bfloat16,
        cores=machine.cores,
        all_cores=os.cpu_count() or machine.cores,
        memory=machine.memory,
        disk=str(place),
        disk_free=shutil.disk_usage(place).free,
        variables={name: os.environ[name] for name in _VARIABLES if name in os.environ},
    )


def _describe(device: tf.config.PhysicalDevice) -> DeviceFacts:
    details = tf.config.experimental.get_device_details(device) if device.device_type == "GPU" else {}
    return DeviceFacts(
        name=str(details.get("device_name", device.name)),
        kind=device.device_type,
        compute_capability=details.get("compute_capability"),
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _system_gpus() -> int:
    """Returns the number of NVIDIA GPUs that the driver has made devices for."""
    return sum(path.name.removeprefix("nvidia").isdigit() for path in Path("/dev").glob("nvidia*"))
