"""AdamW and LARS on a vision transformer: kNN on the digits after eight epochs.

vit_ti4 at 16 pixels, recipe `digits` but for optimizer, precision and epochs; one seed. Each trial is a process of its
own.

Command: python -m benchmarks.transformer_optimizers [NAME ...]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine

THREADS = 2
EPOCHS = 8
# Rates per 256 images of batch; the batch is 64.
TRIALS = {
    "adamw 0.002": ("adamw", "optimizer.learning_rate=0.002", "optimizer.weight_decay=0.05"),
    "adamw 0.0005": ("adamw", "optimizer.learning_rate=0.0005", "optimizer.weight_decay=0.05"),
    "lars 0.2": ("lars", "optimizer.learning_rate=0.2", "optimizer.bias_learning_rate=0.0048"),
    "lars 2.0": ("lars", "optimizer.learning_rate=2.0", "optimizer.bias_learning_rate=0.048"),
}


def measure(name: str) -> dict[str, Any]:
    """Returns kNN accuracy before and after, and the loss terms at the end."""
    from barlowtf import experiment
    from barlowtf.config import load_recipe
    from barlowtf.models.vision_transformer import VISION_TRANSFORMER

    # What is refused is what is measured here.
    object.__setattr__(VISION_TRANSFORMER, "refused_optimizers", {})
    optimizer, *settings = TRIALS[name]
    settings += [f"optimizer.name={optimizer}", "optimizer.warmup_epochs=1", f"train.epochs={EPOCHS}"]
    settings += ["model.encoder=vit_ti4", 'model.stem="auto"', "train.precision=mixed_bfloat16"]
    settings += [f"monitor.knn_every_epochs={EPOCHS}", "monitor.collapse_every_epochs=none"]
    recipe = load_recipe("digits", settings)
    with tempfile.TemporaryDirectory() as place:
        info = experiment.pretrain(experiment.PretrainRequest(recipe, Path(place) / "run"))
    return {"settings": settings, "result": info.result.model_dump(mode="json"), "seconds": info.wall_seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="trials; none: all")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        machine.pin(THREADS)
        sys.stdout.write(json.dumps(measure(options.child)) + "\n")
        return
    file = machine.RESULTS / "transformer_optimizers.json"
    known = json.loads(file.read_text(encoding="utf-8"))["trials"] if options.names and file.exists() else {}
    for name in options.names or TRIALS:
        known[name] = machine.run_child("benchmarks.transformer_optimizers", "--child", name, threads=THREADS)
        sys.stderr.write(f"{name}: {json.dumps(known[name])}\n")
        machine.write_result("transformer_optimizers", {"trials": known})


if __name__ == "__main__":
    main()
