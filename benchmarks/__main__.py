"""Runs every benchmark, one after the other, and writes their results: python -m benchmarks [--quick]."""

import subprocess
import sys

from benchmarks import machine

BENCHMARKS = (
    "loss",
    "input",
    "loop",
    "determinism",
    "exactness",
    "micro_batch",
    "small_convolution",
    "step",
    "methods",
    "serving",
)


def main() -> None:
    # Each in a process of its own: the libraries fix their threads when they start.
    failed = [
        name
        for name in BENCHMARKS
        if subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]], cwd=machine.ROOT, check=False
        ).returncode
    ]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
