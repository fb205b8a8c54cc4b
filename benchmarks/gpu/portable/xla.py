"""StableHLO text in, a compiled program out: the only file that uses JAX's internal names.

JAX has no public function that compiles a StableHLO text. The client of a device has one; its name, and where the
classes of its arguments live, are the client's own affair and change between versions. Known to work: JAX 0.10.2 and
0.11.2.
"""

import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from .errors import MachineError


def open_device(*, allow_cpu: bool) -> Any:
    """Returns JAX's first device.

    Raises:
        MachineError: JAX is missing, finds no GPU while `allow_cpu` is false, or its GPU does not start.
    """
    # Memory is taken as it is needed, so that PyTorch has room on the same card.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    # The default leaves a quarter of the card unused, which the largest steps need.
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.95")
    try:
        import jax
    except ImportError as error:
        raise MachineError(f"JAX is missing ({error}). Install it, for example: pip install 'jax[cuda13]'.") from error
    # Without this, 64-bit inputs of a program become 32-bit ones.
    jax.config.update("jax_enable_x64", True)
    try:
        device = jax.devices()[0]
    except RuntimeError as error:
        raise MachineError(f"JAX does not start: {' '.join(str(error).split())[:200]}") from error
    if device.platform == "cpu" and not allow_cpu:
        raise MachineError("JAX finds no GPU. Install its GPU version, or add --allow-cpu for a rehearsal.")
    return device


def describe(device: Any) -> dict[str, Any]:
    """Returns the device's name, platform and memory in bytes, and the versions of JAX."""
    import jax
    import jaxlib

    return {
        "device": device.device_kind,
        "platform": device.platform,
        "memory_bytes": memory(device).get("bytes_limit"),
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
    }


def memory(device: Any) -> dict[str, int]:
    """Returns the allocator's counts, bytes: "peak_bytes_in_use", "bytes_limit", ...; empty on a CPU."""
    return device.memory_stats() or {}


class Program:
    """A compiled program on one device.

    Attributes:
        compile_seconds: Time to parse and compile, seconds.
    """

    def __init__(self, text: str, device: Any, *, cache: str | None = None) -> None:
        """Parses and compiles.

        Args:
            text: StableHLO; the function "main" is the program.
            device: From `open_device`.
            cache: Folder in which XLA keeps what it learned about the fastest kernels; None: nowhere.
        """
        from jax._src.interpreters.mlir import make_ir_context
        from jax._src.lib import xla_client
        from jaxlib.mlir import ir

        self._device = device
        started = time.perf_counter()
        options = xla_client.CompileOptions()
        if cache is not None and device.platform != "cpu":
            _keep_tuning(options, cache)
        devices = xla_client.DeviceList((device,))
        with make_ir_context():
            module = ir.Module.parse(text)
            client = device.client
            # Before JAX 0.8 the same function was called "compile".
            compile_and_load = getattr(client, "compile_and_load", None) or client.compile
            self._executable = compile_and_load(module, devices, options)
        self.compile_seconds = time.perf_counter() - started

    def put(self, array: np.ndarray) -> Any:
        """Returns an array on the device."""
        import jax

        return jax.device_put(array, self._device)

    def __call__(self, arguments: Sequence[Any]) -> list[Any]:
        """Returns the outputs, on the device. Arguments that the program writes in place must not be used again."""
        results = self._executable.execute_sharded(list(arguments))
        return [shards[0] for shards in results.disassemble_into_single_device_arrays()]

    def memory_bytes(self) -> dict[str, int]:
        """Returns the compiler's own account: bytes of arguments, outputs, aliased and temporary memory."""
        stats = self._executable.get_compiled_memory_stats()
        names = ("argument", "output", "alias", "temp")
        return {name: int(getattr(stats, f"{name}_size_in_bytes")) for name in names}


def _keep_tuning(options: Any, folder: str) -> None:
    debug = options.executable_build_options.debug_options
    if hasattr(debug, "xla_gpu_per_fusion_autotune_cache_dir"):
        os.makedirs(folder, exist_ok=True)
        debug.xla_gpu_per_fusion_autotune_cache_dir = folder
