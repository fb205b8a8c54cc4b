"""The paper's ablations on 10,000 images of CIFAR-10: one grid after the other, and their numbers as result files.

python -m benchmarks.ablations CIFAR10_FOLDER WORK_FOLDER [GRID...] [--seeds 0,1,2] [--jobs 2] [--methods-budget 30m]

CIFAR10_FOLDER has train/ and test/ with a folder for each class. The first 1,000 training images of each class, by
name, and all test images are linked into WORK_FOLDER/cifar10k. A grid that was stopped goes on.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from barlowtf.records import AblationRecord, read_record
from barlowtf.report import draw_plot

RESULTS = Path(__file__).parent / "results" / "ablations"
GRIDS = Path(__file__).parent / "grids"
PICTURES = Path(__file__).parents[1] / "docs" / "images"
IMAGES_OF_A_CLASS = 1000
# By how much they tell, the first ones first.
NAMES = ("table5", "table6", "lambda", "methods", "batch", "augment", "projector")
# Grids made for this machine take the place of the packaged ones.
OWN = {path.stem: path for path in GRIDS.glob("*.toml")}


def link_images(cifar10: Path, target: Path) -> None:
    """Links the images of the comparison into a folder of class folders."""
    for split, most in (("train", IMAGES_OF_A_CLASS), ("test", None)):
        for label in sorted(path for path in (cifar10 / split).iterdir() if path.is_dir()):
            folder = target / split / label.name
            folder.mkdir(parents=True, exist_ok=True)
            for image in sorted(label.iterdir())[:most]:
                if not (folder / image.name).exists():
                    os.link(image, folder / image.name)


def run_grid(name: str, data: Path, out: Path, words: list[str]) -> int:
    """Runs a grid, copies its results, and returns the exit status."""
    grid = str(OWN.get(name, name))
    command = [sys.executable, "-m", "barlowtf", "ablate", grid, "--base", "cifar10-lab", "--data", str(data)]
    status = subprocess.run([*command, "--out", str(out), *words], check=False).returncode
    if (out / "results.json").exists():
        RESULTS.mkdir(parents=True, exist_ok=True)
        text = (out / "results.json").read_text(encoding="utf-8")
        # Where the folders lie on this machine says nothing.
        for folder in (data.parent.resolve(), GRIDS.parents[1]):
            text = text.replace(f"{folder}/", "")
        (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
        record = read_record(RESULTS / f"{name}.json", AblationRecord)
        plot = draw_plot(record, record.plan.protocols[-1])
        (PICTURES / f"ablation-{name}.svg").write_text(plot, encoding="utf-8")
    return status


def main() -> None:
    """Runs the grids that are named, all of them by default."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("grids", nargs="*", default=NAMES, metavar="GRID")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", default="2")
    parser.add_argument("--methods-budget", default="30m", help="Time of the methods, which are equal in time.")
    given = parser.parse_args()
    data = given.work / "cifar10k"
    link_images(given.cifar10, data)
    for name in given.grids:
        words = ["--seeds", given.seeds, "--jobs", given.jobs]
        if name == "methods":
            words += ["--budget", given.methods_budget]
        if status := run_grid(name, data, given.work / name, words):
            sys.exit(status)


if __name__ == "__main__":
    main()
