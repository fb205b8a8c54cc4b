"""Host input: JPEG files of about 470×390 to two random 224 crops, images a second on one core.

A core's second is a second of processor time of the process, all its threads: programs beside it, which make it wait,
change that little. Seconds on the clock stand beside it in the result; on a quiet machine the two agree.

What is compared, each in a fresh process on one core with one thread, taking turns:

- barlowtf: the data pipeline of a run: order, read, decode, two bicubic crops to uint8, batch. The rest of the
  augmentation runs batched on the device inside the training step, so it is no host work.
- pil: the authors' whole pipeline, as their data loader's workers run it: read, decode, crops, flip, jitter, grayscale,
  blur, solarize, tensor, normalization. The asked ratio, 3x, is against this one.
- pil_crops_only: the PIL calls for what our host does, no more: read, decode and two bicubic crops.
- barlowtf_with_device_part: ours, and then the device's part of the augmentation on the same core too.

Images: --images DIR (JPEG files, any depth); default: 64 cuts of scikit-learn's two photographs, 470×390, quality 90.

Command: python -m benchmarks.input [--images DIR] [--quick]
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import machine

TARGET = 3.0
_BATCH = 32
_WARM_UP_BATCHES, _TIMED_BATCHES = 3, 8
_ROUNDS = 5
_EPOCHS = 1000  # More than is read.
_DEFAULT_COUNT, _DEFAULT_SIZE, _DEFAULT_QUALITY = 64, (470, 390), 90


def make_photographs(folder: Path) -> None:
    """Writes 64 JPEG files of 470×390, random cuts of the two photographs inside scikit-learn's wheel."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(image) for image in load_sample_images().images]
    draws = random.Random(0)
    for index in range(_DEFAULT_COUNT):
        photograph = photographs[index % len(photographs)]
        share = draws.uniform(0.75, 1.0)
        width = share * photograph.height * _DEFAULT_SIZE[0] / _DEFAULT_SIZE[1]
        height = share * photograph.height
        left, top = draws.uniform(0, photograph.width - width), draws.uniform(0, photograph.height - height)
        cut = photograph.resize(_DEFAULT_SIZE, Image.Resampling.LANCZOS, box=(left, top, left + width, top + height))
        cut.save(folder / f"{index:02d}.jpg", quality=_DEFAULT_QUALITY)


def measure_ours(folder: Path, *, device_part: bool) -> dict[str, float]:
    """Returns the rates of the data pipeline on this process' core."""
    import tensorflow as tf

    from barlowtf import augment
    from barlowtf.config import Recipe
    from barlowtf.data import open_source
    from barlowtf.experiment import training_data

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    settings = {"data": {"source": str(folder)}, "train": {"batch_size": _BATCH, "epochs": _EPOCHS}}
    recipe = Recipe.model_validate(settings)
    # Straight from the folder: a run would decode so few images of one size once and keep them.
    source = open_source(recipe.data.source, "train")
    batches = training_data.make_batches(recipe, source, tf.distribute.get_strategy(), 0, _EPOCHS)
    finish = tf.function(augment.TwoViews(recipe.augment, 3)) if device_part else tf.identity
    iterator = iter(batches)

    def next_batch() -> Any:
        crops = next(iterator)
        return finish(crops) if device_part else crops

    return rates(next_batch)


def measure_pil(folder: Path, kind: str) -> dict[str, float]:
    """Returns the rates of the authors' pipeline, or of its crops, on this process' core."""
    import torch

    from benchmarks import pil_peer

    torch.set_num_threads(1)
    draws = random.Random(0)
    files = sorted(folder.rglob("*.[jJ][pP]*[gG]"))
    draws.shuffle(files)
    paths = itertools.cycle(files)
    views = pil_peer.both_views if kind == "pil" else pil_peer.crops_only

    def next_batch() -> Any:
        pairs = [views(next(paths), draws) for _ in range(_BATCH)]
        return [torch.stack(view) for view in zip(*pairs, strict=True)]

    return rates(next_batch)


def rates(next_batch: Callable[[], Any]) -> dict[str, float]:
    """Returns images per second of the core and of the clock over several batches as one: the pipeline works ahead."""
    for _ in range(_WARM_UP_BATCHES):
        next_batch()
    on_clock, on_core = time.perf_counter(), time.process_time()
    for _ in range(_TIMED_BATCHES):
        next_batch()
    images = _TIMED_BATCHES * _BATCH
    return {"core": images / (time.process_time() - on_core), "clock": images / (time.perf_counter() - on_clock)}


_MEASURES: dict[str, Callable[[Path], dict[str, float]]] = {
    "barlowtf": lambda folder: measure_ours(folder, device_part=False),
    "pil": lambda folder: measure_pil(folder, "pil"),
    "pil_crops_only": lambda folder: measure_pil(folder, "pil_crops_only"),
    "barlowtf_with_device_part": lambda folder: measure_ours(folder, device_part=True),
}


def compare(folder: Path, *, rounds: int) -> dict[str, Any]:
    """Returns the rates of all pipelines, in turn, and the ratios of their medians."""
    rates: dict[str, list[dict[str, float]]] = {kind: [] for kind in _MEASURES}
    for _ in range(rounds):
        for kind, of_kind in rates.items():
            of_kind.append(machine.run_child("benchmarks.input", "--child", kind, str(folder), threads=1))
    medians, by_clock = (
        {kind: machine.median([rate[by] for rate in of_kind]) for kind, of_kind in rates.items()}
        for by in ("core", "clock")
    )
    against_authors = medians["barlowtf"] / medians["pil"]
    return {
        "images": describe_images(folder),
        "ratio_to_authors_pil_pipeline": round(against_authors, 3),
        "target": TARGET,
        "target_met": against_authors >= TARGET,
        "ratio_to_pil_crops_only": round(medians["barlowtf"] / medians["pil_crops_only"], 3),
        "ratio_to_authors_with_device_part": round(medians["barlowtf_with_device_part"] / medians["pil"], 3),
        "ratio_to_authors_pil_pipeline_by_clock": round(by_clock["barlowtf"] / by_clock["pil"], 3),
        "median_images_per_core_second": medians,
        "raw_images_per_second": rates,
    }


def describe_images(folder: Path) -> dict[str, Any]:
    """Returns count, mean size and mean length of the files."""
    from PIL import Image

    files = sorted(folder.rglob("*.[jJ][pP]*[gG]"))
    sizes = []
    for path in files:
        with Image.open(path) as image:
            sizes.append(image.size)
    width, height = (round(sum(values) / len(values)) for values in zip(*sizes, strict=True))
    kilobytes = sum(path.stat().st_size for path in files) / len(files) / 1000
    return {"count": len(files), "mean_width": width, "mean_height": height, "mean_kilobytes": round(kilobytes, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of JPEG files; default: cuts of two photographs")
    parser.add_argument("--quick", action="store_true", help="one round: a look, not a figure")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        kind, folder = options.child
        machine.pin(1)
        sys.stdout.write(json.dumps(_MEASURES[kind](Path(folder))) + "\n")
        return
    with tempfile.TemporaryDirectory() as made:
        folder = options.images or Path(made)
        if options.images is None:
            make_photographs(folder)
        result = compare(folder.resolve(), rounds=1 if options.quick else _ROUNDS)
    sys.stderr.write(
        f"{result['ratio_to_authors_pil_pipeline']}x the authors' PIL pipeline (asked: {TARGET}x), "
        f"{result['ratio_to_pil_crops_only']}x its crops alone\n"
    )
    name = "input" if options.images is None else "input-images"
    path = machine.write_result(f"{name}-quick" if options.quick else name, result)
    sys.stderr.write(f"{path}\n")


if __name__ == "__main__":
    main()
