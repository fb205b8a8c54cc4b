"""Share of the images of several data sets that `barlowtf predict` calls unlike the images of an encoder.

Command: python -m benchmarks.novelty ENCODER FEATURES SPEC[@SPLIT]... [--name NAME]

FEATURES is the folder of `barlowtf embed` that the images are compared with. The first SPEC should hold images of the
same kind that the encoder has not seen, the others of other kinds.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from barlowtf import experiment
from benchmarks import machine


def _measure(encoder: str, features: Path, specs: list[str]) -> dict[str, Any]:
    sets = {}
    for spec in specs:
        source, _, split = spec.partition("@")
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "rows.parquet"
            request = experiment.PredictRequest(encoder, source, out, split=split or "train", features=features)
            record = experiment.predict(request)
            novelty = pq.read_table(out, columns=["novelty"])["novelty"].drop_null().to_numpy()
        share = float(np.mean(novelty > 0.99))
        sets[spec] = {"images": len(novelty), "above_0.99": round(share, 4), "mean": round(float(novelty.mean()), 4)}
    bank = record.bank
    return {"encoder": encoder, "bank": None if bank is None else bank.model_dump(mode="json"), "sets": sets}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("encoder")
    parser.add_argument("features", type=Path)
    parser.add_argument("specs", nargs="+")
    parser.add_argument("--name", default="novelty")
    arguments = parser.parse_args()
    machine.write_result(arguments.name, _measure(arguments.encoder, arguments.features, arguments.specs))
