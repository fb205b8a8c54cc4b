"""The file of results: read, changed and written whole, so that a run that is killed leaves what it had."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("jax", "jaxlib", "jax-cuda13-plugin", "jax-cuda12-plugin", "torch", "numpy", "pillow")


def read(file: Path) -> dict[str, Any]:
    """Returns the results, {} where there are none yet."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def write(file: Path, content: dict[str, Any]) -> None:
    """Writes the results: aside first, then renamed."""
    aside = file.with_name(f".{file.name}")
    aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(aside, file)


def describe_machine() -> dict[str, Any]:
    """Returns the card by the driver's own tool, and system, versions and time."""
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cards": _cards(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {"python": platform.python_version(), **versions},
    }


def _cards() -> list[dict[str, str]]:
    """Returns name, driver, memory and power limit of each card; [] without a driver."""
    fields = ("name", "driver_version", "memory.total", "power.limit", "clocks.max.sm")
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [dict(zip(fields, line.split(", "), strict=False)) for line in done.stdout.splitlines() if line]
