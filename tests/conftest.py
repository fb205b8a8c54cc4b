"""Shared by all tests: quiet TensorFlow, CPU only, and where the recorded numbers lie."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the numbers recorded from the authors' code; see its README."""
    return Path(__file__).parent / "golden"
