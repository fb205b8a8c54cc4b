"""Host input of every kind of image file: photographs of 470×390 to two random 224 crops, images a second on one core.

The same 64 pictures are written as each kind of file; each is read by the data pipeline of a run on one core with one
thread, the kinds one after the other in a fresh process for each round. A core's second is one of processor time, as in
benchmarks/input.py.

With --before DIR, a checkout of another commit, JPEG is read by that code too, in turn with this one's: the median of
the ratios is what the changes between them cost.

Command: python -m benchmarks.image_kinds [--before DIR] [--rounds N] [--quick]
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, cast

import numpy as np

from benchmarks import machine
from benchmarks.input import make_photographs, rates

_ROUNDS, _ROUNDS_OF_JPEG, _TURNS = 3, 5, 8
_BATCH, _EPOCHS = 32, 1000
_BANDS = 8


def make_files(folder: Path) -> None:
    """Writes the pictures as each kind of file, each into a folder of its own."""
    jpeg = folder / "jpeg"
    jpeg.mkdir()
    make_photographs(jpeg)
    files = sorted(jpeg.glob("*.jpg"))
    for kind, write in _WRITERS.items():
        (folder / kind).mkdir()
        for file in files:
            write(file, folder / kind / file.stem)
    (folder / "npy_stack").mkdir()
    np.save(folder / "npy_stack" / "all.npy", np.stack([_pixels(file) for file in files]))


def _pixels(file: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(file) as image:
        return np.asarray(image)


def _deep(file: Path) -> np.ndarray:
    """Returns the picture with 16 bits, the lower ones as noisy as a camera's."""
    noise = np.random.default_rng(0).integers(0, 257, _pixels(file).shape, np.uint16)
    return np.minimum(_pixels(file).astype(np.uint32) * 256 + noise, 65535).astype(np.uint16)


def _by_pillow(ending: str, **options: Any) -> Callable[[Path, Path], None]:
    def write(file: Path, path: Path) -> None:
        from PIL import Image

        with Image.open(file) as image:
            colors = options.pop("mode", None)
            (image.convert(colors) if colors else image).save(path.with_suffix(ending), **options)

    return write


def _turned_jpeg(file: Path, path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "a camera", 6
    with Image.open(file) as image:
        image.rotate(90, expand=True).save(path.with_suffix(".jpg"), quality=90, exif=exif)


def _rgba_png(file: Path, path: Path) -> None:
    from PIL import Image

    alpha = np.linspace(0, 255, _pixels(file)[..., :1].size).reshape(_pixels(file)[..., :1].shape).astype(np.uint8)
    Image.fromarray(np.concatenate([_pixels(file), alpha], axis=2)).save(path.with_suffix(".png"))


def _deep_png(file: Path, path: Path) -> None:
    import tensorflow as tf

    path.with_suffix(".png").write_bytes(tf.io.encode_png(_deep(file)).numpy())


def _by_tifffile(**options: Any) -> Callable[[Path, Path], None]:
    def write(file: Path, path: Path) -> None:
        import tifffile

        pixels = _deep(file)
        if "photometric" not in options:
            bands = np.concatenate([pixels, pixels[::-1], pixels[:, ::-1]], axis=2)[..., :_BANDS]
            tifffile.imwrite(path.with_suffix(".tif"), bands, photometric="minisblack", planarconfig="contig")
        else:
            tifffile.imwrite(path.with_suffix(".tif"), pixels, **options)

    return write


_WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "jpeg_turned": _turned_jpeg,
    "png": _by_pillow(".png"),
    "png_alpha": _rgba_png,
    "png_16_bit": _deep_png,
    "webp": _by_pillow(".webp", quality=90),
    "bmp": _by_pillow(".bmp"),
    "gif": _by_pillow(".gif"),
    "tiff": _by_pillow(".tif"),
    "tiff_lzw": _by_pillow(".tif", compression="tiff_lzw"),
    "tiff_16_bit": _by_tifffile(photometric="rgb"),
    "tiff_16_bit_deflate": _by_tifffile(photometric="rgb", compression="zlib", predictor=True),
    "tiff_8_bands_16_bit": _by_tifffile(),
    "npy": lambda file, path: np.save(path.with_suffix(".npy"), _pixels(file)),
}
_KINDS = ("jpeg", *_WRITERS, "npy_stack")
# What a recipe says about them, beside where they lie.
_SETTINGS: dict[str, dict[str, Any]] = {
    "png_16_bit": {"depth": 16},
    "tiff_16_bit": {"depth": 16},
    "tiff_16_bit_deflate": {"depth": 16},
    "tiff_8_bands_16_bit": {"depth": 16, "channels": _BANDS},
}


def measure(folder: Path, kind: str) -> dict[str, float]:
    """Returns the rates of the data pipeline for one kind on this process' core."""
    import tensorflow as tf

    from barlowtf.config import Recipe
    from barlowtf.data import open_source
    from barlowtf.experiment import training_data

    spec = f"npy:{folder / kind / 'all.npy'}" if kind == "npy_stack" else str(folder / kind)
    settings = {
        "data": {"source": spec, **_SETTINGS.get(kind, {})},
        "augment": {"mean": (0.5,), "std": (0.25,)},
        "train": {"batch_size": _BATCH, "epochs": _EPOCHS},
    }
    recipe = Recipe.model_validate(settings)
    source = open_source(recipe.data.source, "train")
    batches = training_data.make_batches(recipe, source, tf.distribute.get_strategy(), 0, _EPOCHS)
    iterator = iter(batches)
    return rates(lambda: next(iterator))


def compare_kinds(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Returns the rates of all kinds, in turn, and their medians."""
    found: dict[str, list[float]] = {kind: [] for kind in _KINDS}
    for _ in range(rounds):
        rates_of_round = machine.run_child("benchmarks.image_kinds", "--child", str(folder), threads=1)
        for kind in _KINDS:
            found[kind].append(rates_of_round[kind])
    sizes = {
        kind: round(sum(file.stat().st_size for file in (folder / kind).iterdir()) / 64 / 1000, 1) for kind in _KINDS
    }
    return {
        "median_images_per_core_second": {kind: machine.median(values) for kind, values in found.items()},
        "mean_kilobytes": sizes,
        "raw_images_per_core_second": found,
    }


def compare_commits(folder: Path, before: Path, *, rounds: int) -> dict[str, Any]:
    """Returns the rates of JPEG by the code of another checkout and by this one, in pairs, and the median of ratios.

    The machine's speed changes by half within seconds. Two processes therefore live beside each other and take turns
    of a second, so that a pair shares the speed; each round has two new processes.
    """
    found: dict[str, list[float]] = {"before": [], "now": []}
    for number in range(rounds):
        sides = {"before": before, "now": machine.ROOT}
        with contextlib.ExitStack() as stack:
            children = {
                side: stack.enter_context(_child_of(sides[side], folder / "jpeg"))
                for side in (sides if number % 2 else reversed(sides))
            }
            for _ in range(_TURNS + 1):
                for side, child in children.items():
                    found[side].append(_turn(child))
        # The first turn of each is for warming up.
        for rates_of_side in found.values():
            del rates_of_side[-_TURNS - 1]
    ratios = [now / then for now, then in zip(found["now"], found["before"], strict=True)]
    per_round = [machine.median(ratios[start : start + _TURNS]) for start in range(0, len(ratios), _TURNS)]
    return {"now_to_before": machine.median(ratios), "now_to_before_in_each_round": per_round, "raw": found}


# Measures each time that a line comes. Turns end when the pipeline has filled its buffers again, so that each does the
# work of exactly its own batches.
_CHILD = """
import sys, time
from pathlib import Path
import benchmarks.input as of_input

def take_turns(next_batch):
    for _ in sys.stdin:
        start = time.process_time()
        for _ in range(8):
            next_batch()
        time.sleep(0.5)
        print(8 * 32 / (time.process_time() - start), flush=True)
    raise SystemExit

of_input.machine.pin(1)
of_input.rates = of_input._rates = take_turns  # As this module has called it over time.
of_input.measure_ours(Path(sys.argv[1]), device_part=False)
"""


def _child_of(root: Path, folder: Path) -> subprocess.Popen[str]:
    """Starts a process that runs the code of the checkout at `root`: its modules come before the installed ones."""
    command = [sys.executable, "-c", _CHILD, str(folder)]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
    environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=root, env=environment, **pipes)


def _turn(child: subprocess.Popen[str]) -> float:
    """Returns the images per core second of a child's next turn."""
    given, answered = cast(TextIO, child.stdin), cast(TextIO, child.stdout)
    given.write("\n")
    given.flush()
    return float(answered.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, help="checkout of another commit, to compare JPEG with")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of all kinds")
    parser.add_argument("--quick", action="store_true", help="one round: a look, not a figure")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        import tensorflow as tf

        machine.pin(1)
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        found = {kind: measure(options.child, kind)["core"] for kind in _KINDS}
        sys.stdout.write(json.dumps(found) + "\n")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        make_files(folder)
        result = {}
        if options.before is not None:
            rounds = 1 if options.quick else _ROUNDS_OF_JPEG
            result["jpeg_compared"] = compare_commits(folder, options.before.resolve(), rounds=rounds)
            sys.stderr.write(f"{result['jpeg_compared']}\n")
        result |= compare_kinds(folder, rounds=1 if options.quick else options.rounds)
    path = machine.write_result("image_kinds-quick" if options.quick else "image_kinds", result)
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
