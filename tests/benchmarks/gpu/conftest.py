"""The benchmarks are no installed package: their folder is put on the path."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def gpu():
    """Imports a module of benchmarks/gpu by its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        yield lambda name: import_module(f"benchmarks.gpu.{name}")


@pytest.fixture
def run_python(tmp_path):
    """Function (arguments, environment): a finished process of this Python, without TensorFlow's or pytest's path."""
    import os
    import subprocess

    def run(*arguments, **environment):
        # Compiling without optimization takes half the time; results differ by rounding.
        flags = {"XLA_FLAGS": "--xla_backend_optimization_level=0", "JAX_PLATFORMS": "cpu"}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, **flags, **environment},
            capture_output=True,
            text=True,
            timeout=1800,  # Seconds; a busy machine takes many times the usual half minute.
            check=False,
        )

    return run
