"""What is saved and measured while a run trains."""

from typing import Any, Literal

from pydantic import Field

from barlowtf.config.section import Count, Positive, Section


class Checkpoint(Section):
    """When training state is saved. A save falls on a step; the last one is always saved."""

    every_steps: Count | None = Field(None, description="none: by time alone")
    every_minutes: Positive | None = Field(10.0, description="none: by steps alone")
    keep: Count = Field(3, description="how many of the last checkpoints stay")
    keep_best: Literal["rankme", "lidar", "alpha", "knn", "probe"] | None = Field(
        None, description="measure whose best epoch is kept beside them, as best.keras at the end; none: no epoch is"
    )


class Monitor(Section):
    """What is measured while training."""

    every_steps: Count = Field(20, description="loss terms, rates, norms, images/s")
    collapse_every_epochs: Count | None = Field(
        1,
        description="RankMe, LiDAR, alpha-ReQ, effective rank, dead dimensions, C; also before and at the end",
    )
    knn_every_epochs: Count | None = Field(5, description="kNN accuracy where labels exist; also before and at the end")
    knn_neighbors: Count = Field(20, description="k")
    knn_temperature: Positive = Field(0.07, description="a vote weighs exp(similarity / temperature)")
    knn_bank: Count = Field(20_000, description="maximum number of labeled training images")
    knn_queries: Count = Field(5_000, description="maximum number of labeled test images")
    probe: bool = Field(
        False, description="with each kNN accuracy that of a linear classifier trained on the same features"
    )
    split: Literal["test", "train"] = Field(
        "test",
        description="labeled images that kNN and probe classify; test: those of the test split; train: half of the "
        "training images by the other half, so that settings can be chosen without a look at the test images",
    )
    labels: str | None = Field(
        None,
        description="labeled images for kNN and probe, a SPEC as data.source; none: those of data.source",
    )

    def interval_of(self, measure: str) -> tuple[str, Any]:
        """Returns the setting that a measure of `checkpoint.keep_best` needs, and its value."""
        if measure == "probe" and not self.probe:
            return "monitor.probe", None
        labeled = measure in ("knn", "probe")
        name = "knn_every_epochs" if labeled else "collapse_every_epochs"
        return f"monitor.{name}", getattr(self, name)
