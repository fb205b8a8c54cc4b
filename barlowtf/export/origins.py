"""What is exported and where it comes from: encoder, head and projector that belong together."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras

from barlowtf import runs
from barlowtf.config import load_recipe
from barlowtf.doors import require_trusted
from barlowtf.encoders.encoder import Encoder, model_encoder
from barlowtf.encoders.loading import load, load_keras
from barlowtf.encoders.restoring import find_checkpoint, restore_parts
from barlowtf.errors import ExportError
from barlowtf.export.heads import Head, encoder_of_head, open_head
from barlowtf.export.network import Parts
from barlowtf.models import checkpoint
from barlowtf.places import CONTROLS

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class Origin:
    """Where an export comes from.

    Attributes:
        encoder: The encoder; fine-tuned where the head was trained with it.
        head: The head, or None.
        projector: Features -> embeddings, or None.
        step: Step of the checkpoint that it comes from; None: the finished encoder.
        data: SPEC of the run's images, or None.
    """

    encoder: Encoder
    head: Head | None
    projector: keras.Model | None
    step: int | None
    data: str | None

    @property
    def parts(self) -> Parts:
        """What the formats take."""
        encoder, head = self.encoder, self.head
        return Parts(
            encoder.model,
            None if head is None else head.model,
            self.projector,
            encoder.image_shape[0],
            encoder.mean,
            encoder.std,
            None if head is None else head.class_names,
            encoder.family,
            encoder.rendering,
        )


def open_origin(
    encoder: str,
    *,
    head: str | None = None,
    checkpoint_of: str | None = None,
    config: str | None = None,
    trust: bool = False,
) -> Origin:
    """Returns encoder, head and projector.

    Args:
        encoder: A run folder, a `.keras` file or a PyTorch file, see `barlowtf.encoders.load`.
        head: See `open_head`; None: features alone.
        checkpoint_of: Checkpoint of a run, "latest", "best" or a step; None: its finished encoder.
        config: Recipe of an encoder that has none beside it.
        trust: See `barlowtf.encoders.load`.

    Raises:
        ExportError: The run is unfinished, the head belongs to another encoder, or this kind of encoder has no layers.
        BarlowTFError: It cannot be read.
    """
    path = Path(encoder)
    run = runs.RunFolder(path) if (path / "recipe.toml").exists() else None
    if encoder in CONTROLS or (path / "saved_model.pb").exists():
        raise ExportError(
            f"Invalid --encoder: received {encoder}, expected one with layers and trained weights: "
            "a run, a .keras file or a PyTorch file."
        )
    if checkpoint_of is not None and run is None:
        raise ExportError(
            f"Invalid --checkpoint: received {checkpoint_of} for the encoder {encoder}, which is not a run. "
            "Leave it out."
        )
    projector, step = None, None
    if checkpoint_of is not None and run is not None:
        recipe = load_recipe(run.recipe)
        require_trusted(recipe.model.encoder, "encoder", named_in=run.recipe, trust=trust)
        restored = restore_parts(run, checkpoint_of)
        _LOG.info("Weights of step %d of %s, the %s checkpoint.", restored.step, run.path, checkpoint_of)
        opened = model_encoder(encoder, "run", restored.encoder, recipe, run=path)
        projector, step = restored.projector, restored.step
    else:
        if run is not None:
            _require_finished(run)
        opened = load(encoder, config=config, trust=trust)
        file = runs.projector_beside(path if run is None else run.encoder)
        projector = load_keras(file) if file.exists() else None
    found = None if head is None else open_head(head, opened)
    fitting = opened if found is None else encoder_of_head(found, opened)
    if fitting is not opened:
        opened, projector = fitting, None
    data = load_recipe(run.recipe).data.source if run is not None else None
    return Origin(opened, found, projector, step, data)


def _require_finished(run: runs.RunFolder) -> None:
    if run.finished:
        return
    status = "was killed" if run.status == "killed" else f"is {run.status}"
    if not checkpoint.list_checkpoints(run.checkpoints):
        raise ExportError(f"The run {run.path} {status} and has no checkpoint yet. Let it train.")
    step = int(find_checkpoint(run, "latest").name.rpartition("-")[2])
    raise ExportError(
        f"The run {run.path} {status}. Its last whole checkpoint is of step {step}: add --checkpoint latest, or "
        f"--checkpoint {step}, to export that one; or resume the run."
    )
