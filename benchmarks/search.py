"""Time of `barlowtf search` over 10^4 and 10^6 features of width 512, and of `barlowtf predict` on 1,000 images.

The features are random numbers: their values do not change the time. A search is timed alone, and together with opening
the folder; the files have been read before, so the disk takes no part. The images are photographs' size of CIFAR-10 and
noise; `predict` embeds them, finds 5 neighbors of each among 10^4, and gives the novelty score. The start of Python and
TensorFlow is not part of any figure.

Command: python -m benchmarks.search [--quick]
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.encoders import load
from barlowtf.encoders.feature_folder import MANIFEST, open_features
from barlowtf.metrics import nearest_neighbors
from barlowtf.models import make_encoder
from barlowtf.records import EmbeddedData, EmbedManifest, EncoderFacts, write_record
from benchmarks import machine

_WIDTH, _PART, _REPEATS = 512, 2000, 5


def _write_features(folder: Path, rows: int, form: str, facts: EncoderFacts) -> Path:
    """Fills a folder with random features as `barlowtf embed` leaves it."""
    folder.mkdir()
    r, width = np.random.default_rng(0), facts.feature_width
    images = EmbeddedData(source="noise", split="train", images=rows, fingerprint="0" * 64)
    manifest = EmbedManifest(encoder=facts, data=images, format=form, part_rows=_PART, status="finished", rows=rows)
    write_record(folder / MANIFEST, manifest)
    if form == "npy":
        features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (rows, width))
        np.save(folder / "ids.npy", np.arange(rows))
    for number, start in enumerate(range(0, rows, _PART)):
        some = r.standard_normal((min(_PART, rows - start), width), np.float32)
        if form == "npy":
            features[start : start + len(some)] = some
            continue
        ids = np.arange(start, start + len(some))
        columns = {
            "id": pa.array(ids),
            "path": pa.array([f"noise/{number:07d}.jpg" for number in ids], pa.string()),
            "label": pa.nulls(len(ids), pa.int64()),
            "feature": pa.FixedSizeListArray.from_arrays(pa.array(some.reshape(-1)), width),
        }
        pq.write_table(pa.table(columns), folder / f"part-{number:05d}.parquet")
    return folder


def _time_search(folder: Path, rows: int, repeats: int) -> dict[str, Any]:
    """Returns the times of searches for an image of the folder, s."""
    bank = open_features(folder)
    numbers = [rows * place // (repeats + 1) for place in range(repeats + 1)]
    alone = []
    for number in numbers:
        query = np.array(bank.features[number : number + 1])
        started = time.perf_counter()
        _, found = nearest_neighbors(bank.features, query, neighbors=11)
        alone.append(time.perf_counter() - started)
        if found[0, 0] != number:
            raise RuntimeError(f"Image {number} is not nearest to itself.")
    request = experiment.SearchRequest(folder, ids=(rows // 2,))
    whole = machine.time_calls(lambda: experiment.search(request), warm_up=1, repeats=repeats)
    # The first search starts the libraries' threads and reads the files.
    return {
        "search_seconds_median": machine.median(alone[1:]),
        "search_seconds": alone[1:],
        "with_opening_seconds_median": machine.median(whole),
    }


def _time_predict(place: Path, images: int, bank_rows: int, repeats: int) -> dict[str, Any]:
    """Returns the times of predictions for images of 32 x 32 pixels, s."""
    run, new = place / "run", place / "new"
    run.mkdir()
    recipe = load_recipe("cifar10-cpu")
    (run / "recipe.toml").write_text(dump_recipe(recipe))
    make_encoder(recipe.model.encoder, image_shape=(32, 32, 3), stem=recipe.model.stem).save(run / "encoder.keras")
    new.mkdir()
    r = np.random.default_rng(1)
    for number in range(images):
        Image.fromarray(r.integers(0, 256, (32, 32, 3), np.uint8)).save(new / f"{number:05d}.jpg")
    encoder = load(str(run))
    bank = _write_features(place / "bank", bank_rows, "npy", encoder.facts)
    request = experiment.PredictRequest(str(run), str(new), place / "rows.csv", features=bank)
    seconds = machine.time_calls(lambda: experiment.predict(request), warm_up=1, repeats=repeats)
    return {
        "encoder": recipe.model.encoder,
        "width": encoder.width,
        "images": images,
        "bank_rows": bank_rows,
        "seconds_median": machine.median(seconds),
        "seconds": seconds,
    }


def _measure(*, quick: bool) -> dict[str, Any]:
    repeats = 2 if quick else _REPEATS
    facts = EncoderFacts(
        name="noise",
        kind="run",
        label="trained",
        sha256="0" * 64,
        architecture="0" * 64,
        image_shape=(32, 32, 3),
        mean=(0.5,),
        std=(0.5,),
        feature_width=_WIDTH,
        parameters=None,
    )
    result: dict[str, Any] = {"width": _WIDTH, "queries": 1, "repeats": repeats, "search": {}}
    for rows in (1000, 10_000) if quick else (10_000, 1_000_000):
        for form in ("npy", "parquet"):
            with tempfile.TemporaryDirectory() as place:
                folder = _write_features(Path(place) / "features", rows, form, facts)
                result["search"][f"{rows}, {form}"] = _time_search(folder, rows, repeats)
    with tempfile.TemporaryDirectory() as place:
        sizes = (50, 500) if quick else (1000, 10_000)
        result["predict"] = _time_predict(Path(place), *sizes, repeats)
    return {**result, "peak_memory_bytes": machine.peak_memory_bytes()}


if __name__ == "__main__":
    machine.write_result("search", _measure(quick="--quick" in sys.argv))
