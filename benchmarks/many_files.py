"""How long a folder of a million image files takes to open, and what it is known by.

A thousand class folders hold links to a few thousand photographs that are made once. Timed, each in a new process: the
list of the files with its classes, the fingerprint (names, sizes, a sample of bytes), and the whole command
`barlowtf data show` with the start of TensorFlow; the list is in the cache of the system. Writes
results/many_files.json.

Command: python -m benchmarks.many_files [--files N] [--rounds N]
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import machine

_CLASSES, _DIFFERENT, _SIDE = 1000, 4000, 32


def write_files(folder: Path, count: int) -> None:
    """Makes class folders of `count` files altogether, links to some thousand images of noise."""
    from PIL import Image

    noise, first = np.random.default_rng(0), folder.with_name("different")
    first.mkdir()
    for number in range(_DIFFERENT):
        content = io.BytesIO()
        pixels = noise.integers(256, size=(_SIDE, _SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(content, "JPEG")
        (first / f"{number}.jpg").write_bytes(content.getvalue())
    for number in range(_CLASSES):
        (folder / "train" / f"{number:03d}").mkdir(parents=True)
    for number in range(count):
        place = folder / "train" / f"{number % _CLASSES:03d}" / f"{number:07d}.jpg"
        os.link(first / f"{number % _DIFFERENT}.jpg", place)


def run_child(folder: str) -> None:
    """Times the list and the fingerprint in this process, and prints them as JSON."""
    from barlowtf.data import open_source

    started = time.perf_counter()
    source = open_source(folder, "train")
    listed = time.perf_counter()
    fingerprint = source.fingerprint
    seconds = {"list": listed - started, "fingerprint": time.perf_counter() - listed}
    sys.stdout.write(json.dumps({"images": source.size, "fingerprint": fingerprint, "seconds": seconds}) + "\n")


def main() -> None:
    """Runs the command line."""
    if sys.argv[1:2] == ["--child"]:
        run_child(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found, shown = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "photos"
        write_files(folder, options.files)
        for _ in range(options.rounds):
            found.append(machine.run_child("benchmarks.many_files", "--child", str(folder), threads=2))
            started = time.perf_counter()
            command = [sys.executable, "-m", "barlowtf", "data", "show", "--data", str(folder)]
            subprocess.run(command, check=True, capture_output=True)
            shown.append(time.perf_counter() - started)
    seconds = {key: machine.median([run["seconds"][key] for run in found]) for key in ("list", "fingerprint")}
    result = {"files": found[0]["images"], "seconds": {**seconds, "data_show": machine.median(shown)}}
    raw = {"raw": {"processes": [run["seconds"] for run in found], "data_show": shown}}
    sys.stderr.write(f"{machine.write_result('many_files', {**result, **raw})}\n")


if __name__ == "__main__":
    main()
