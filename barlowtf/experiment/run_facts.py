"""What a run has left on the disk, read for its diagnosis."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf import runs
from barlowtf.config import Recipe
from barlowtf.errors import CheckpointError
from barlowtf.models import checkpoint
from barlowtf.records import RunInfo, read_lines, read_metrics


@dataclass(frozen=True)
class RunFacts:
    """What a run has left.

    Attributes:
        path: The run folder.
        recipe: Its settings.
        info: Its run.json; None before the first step.
        metrics: The lines of its metrics.jsonl, in their order.
        saved_steps: Steps of its checkpoints, rising.
        has_encoder: Whether its encoder.keras is there.
        in_use: Whether a process holds its folder.
        skipped: Number of images that it has passed over, by the file that lists them.
    """

    path: Path
    recipe: Recipe
    info: RunInfo | None
    metrics: tuple[dict[str, Any], ...]
    saved_steps: tuple[int, ...]
    has_encoder: bool
    in_use: bool
    skipped: dict[Path, int]

    @property
    def status(self) -> runs.Status:
        """How far the run is."""
        if self.info is None:
            return "not started"
        return "killed" if self.info.status == "running" and not self.in_use else self.info.status

    @property
    def width(self) -> int:
        """D, width of the embeddings."""
        return self.recipe.model.projector[-1]

    @property
    def step(self) -> int:
        """Last step that was recorded or saved."""
        return max([0, *self.saved_steps, *(int(line.get("step", 0)) for line in self.metrics)])

    def column(self, name: str) -> list[float]:
        """Returns the recorded values of a metric, in their order."""
        return [line[name] for line in self.metrics if name in line]

    def trained(self, name: str) -> float | None:
        """Returns the last value of a metric that was recorded after a step; None: there is none."""
        return next((line[name] for line in reversed(self.metrics) if name in line and line.get("step")), None)

    @property
    def seconds_per_step(self) -> float | None:
        """Median time of a step, s; None before the second record."""
        speeds = self.column("images_per_second")
        return self.recipe.train.batch_size / float(np.median(speeds)) if speeds else None


def read_run(folder: Path) -> RunFacts:
    """Returns what a run folder holds; writes nothing into it.

    Raises:
        CheckpointError: It is not a run folder, or one of its files is damaged.
    """
    run = runs.RunFolder(folder)
    if not run.recipe.exists():
        raise CheckpointError(f"{folder} is not a run folder: it holds no recipe.toml. Name one of barlowtf pretrain.")
    recipe = run.read_recipe()
    info = run.read_info()
    unfinished = info is None or info.status != "finished"
    return RunFacts(
        path=folder,
        recipe=recipe,
        info=info,
        metrics=tuple(read_metrics(run.metrics)),
        saved_steps=tuple(sorted(checkpoint.step_of(path) for path in checkpoint.list_checkpoints(run.checkpoints))),
        has_encoder=run.encoder.exists(),
        in_use=unfinished and runs.is_held(folder),
        skipped={file: len(read_lines(file)) for file in sorted(folder.glob("skipped*.jsonl"))},
    )


def percent(share: float) -> str:
    """Returns a share in [0, 1] as text: "12.5 %"."""
    return f"{100 * share:.1f} %"
