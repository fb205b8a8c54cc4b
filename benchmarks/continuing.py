"""What training on does to a trained encoder: with its projector, with a new one, and with a new one that learns first.

A run of recipe `digits` with one linear layer or three in its projector is trained, and then goes on for five epochs on
the same scans, at its own learning rate and at four times that. kNN accuracy (k = 20, 360 test scans) is taken before
and after each epoch. One run each: a point more or less, 4 scans, says nothing. Writes results/continuing.json.

Command: python -m benchmarks.continuing
"""

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine

NAME = "continuing"
EPOCHS = 5
PROJECTORS = ("[256]", "[256,256,256]")
RATES = (0.008, 0.032)
# Name -> settings beside the rate; only the first one finds the projector.
VARIANTS = {
    "its own": [],
    "new": [],
    "new, alone for 2 epochs": ["train.freeze_encoder_epochs=2"],
}


def main() -> None:
    """Runs all variants and writes their accuracies."""
    argparse.ArgumentParser(description=__doc__.partition("\n")[0]).parse_args()
    trials = []
    with tempfile.TemporaryDirectory() as temporary:
        for projector in PROJECTORS:
            place = Path(temporary) / projector
            settings = [f"model.projector={projector}"]
            _train(settings, place / "first")
            alone = place / "encoder.keras"
            shutil.copy(place / "first" / "encoder.keras", alone)
            for rate in RATES:
                for name, more in VARIANTS.items():
                    init = place / "first" if name == "its own" else alone
                    given = [f"model.init={init}", f"train.epochs={EPOCHS}", f"optimizer.learning_rate={rate}", *more]
                    found = _train([*settings, *given, "monitor.knn_every_epochs=1"], place / f"{rate} {name}")
                    trials.append({"widths": projector, "learning_rate": rate, "projector": name, **found})
    content = {"what": "kNN top-1 of 360 test scans before and after each epoch", "epochs": EPOCHS, "trials": trials}
    machine.write_result(NAME, content)


def _train(settings: list[str], folder: Path) -> dict[str, Any]:
    from barlowtf import experiment, runs
    from barlowtf.config import load_recipe
    from barlowtf.records import read_lines

    recipe = load_recipe("digits", [*settings, "monitor.collapse_every_epochs=none"])
    info = experiment.pretrain(experiment.PretrainRequest(recipe, folder))
    knn = [record["knn_top1"] for record in read_lines(runs.RunFolder(folder).metrics) if "knn_top1" in record]
    return {"taken": () if info.init is None else info.init.taken, "knn_top1": [round(value, 4) for value in knn]}


if __name__ == "__main__":
    main()
