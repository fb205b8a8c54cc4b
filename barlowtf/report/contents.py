"""What a report knows of a run: the files of its folder, and some of its images with their features."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from barlowtf.config import Recipe, load_recipe
from barlowtf.errors import CheckpointError
from barlowtf.records import Result, RunInfo, read_metrics, read_results
from barlowtf.runs import RunFolder, Status, status_of


@dataclass(frozen=True)
class EmbeddedImages:
    """Images of a data set and what the encoder makes of them.

    Attributes:
        source: Name of the data, e.g. "digits test".
        split: "train" or "test".
        ids: Numbers of the examples, int64 [n].
        thumbnails: uint8 [n, S, S, 1 or 3], see `barlowtf.report.shrink`.
        features: float32 [n, d].
        labels: int64 [n], or None.
        class_names: Name of each label, or None.
    """

    source: str
    split: str
    ids: np.ndarray
    thumbnails: np.ndarray
    features: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None


@dataclass
class RunContents:
    """One run of the page.

    Attributes:
        name: Short name, unlike those of the other runs of the page.
        folder: The run folder.
        info: Contents of run.json, None where there is none.
        recipe: The resolved recipe.
        metrics: The records of metrics.jsonl.
        results: The results of evaluation protocols, in the order of their file names.
        notes: Lines for the reader: what is missing, and why.
        images: Some of the data's images, None where they or the encoder cannot be had (`notes` says why).
    """

    name: str
    folder: RunFolder
    info: RunInfo | None
    recipe: Recipe
    metrics: list[dict[str, Any]]
    results: list[Result]
    notes: list[str] = field(default_factory=list)
    images: EmbeddedImages | None = None

    @property
    def status(self) -> Status:
        """How far the run is."""
        return status_of(self.info, self.folder.path)


def read_run(path: Path, *, name: str | None = None) -> RunContents:
    """Returns what the files of a run folder say, without its images.

    Args:
        path: The run folder.
        name: How the page calls it. Default: the folder's name.

    Raises:
        CheckpointError: No run folder, or one of its files is damaged.
        ConfigError: Its recipe cannot be read.
    """
    folder = RunFolder(path)
    if not folder.recipe.is_file():
        received = "a folder without recipe.toml" if path.is_dir() else "a file" if path.exists() else "no such folder"
        raise CheckpointError(
            f"{path} is no run folder. Received {received}. Expected the --run-dir of a `barlowtf pretrain`."
        )
    results, faults = read_results(path / "results")
    return RunContents(
        name=name or path.resolve().name,
        folder=folder,
        info=folder.read_info(),
        recipe=load_recipe(folder.recipe),
        metrics=read_metrics(folder.metrics),
        results=results,
        notes=[f"Left out of the results: {fault}" for fault in faults],
    )
