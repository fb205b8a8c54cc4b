"""The images that new ones are compared with: their features in a folder, their paths, their classes."""

import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from barlowtf import data, runs
from barlowtf.config import load_recipe
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.feature_folder import FeatureFolder, open_features
from barlowtf.errors import CheckpointError, DataError
from barlowtf.experiment.data import open_images, open_split
from barlowtf.experiment.embed import EmbedRequest, embed_images, storable_text
from barlowtf.export.heads import Head
from barlowtf.records import EmbeddedData, EncoderFacts, read_result
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class Bank:
    """Features of known images, and the images where they can be read.

    Attributes:
        folder: Their features, classes and, in Parquet, paths.
        images: The images; None where they cannot be read any more, or were not asked for.
    """

    folder: FeatureFolder
    images: data.Source | None

    def path(self, row: int) -> str:
        """Returns where the image of a row lies, as text that can be stored."""
        if self.folder.paths is not None:
            return self.folder.paths[row].as_py()
        number = int(self.folder.ids[row])
        return f"image {number}" if self.images is None else storable_text(self.images.identify(number))

    @property
    def classes(self) -> tuple[np.ndarray, tuple[str, ...]] | None:
        """Class of each image, int64 [M], < 0 for none, and name of each class, its number where it has none.

        None without labels.
        """
        if self.folder.labels is None or self.folder.labels.max(initial=data.NO_LABEL) < 0:
            return None
        (labels,), names = data.without_gaps([self.folder.labels], self.folder.manifest.data.class_names)
        return labels, names or tuple(map(str, range(int(labels.max()) + 1)))


def open_bank(
    path: Path, encoder: EncoderFacts | None = None, *, with_images: bool = False, trust: bool = False
) -> Bank:
    """Returns the images whose features a folder holds.

    Args:
        path: The --out folder of `barlowtf embed`.
        encoder: The encoder that must have made them; None: any.
        with_images: Whether the images themselves are wanted, not just their names.
        trust: Whether code that the folder names as their source may be run.

    Raises:
        CheckpointError: See `open_features`.
    """
    folder = open_features(path, encoder)
    wanted = with_images or folder.paths is None
    return Bank(folder, _open_images(folder.manifest.data, path, trust) if wanted else None)


def training_bank(encoder: Encoder, head: Head | None, interruption: Interruption, *, trust: bool = False) -> Bank:
    """Returns the training images; their features are kept in the run, `RUN/features/ID`, and made where they are not.

    With a head they are the images that it was trained on, else those of the run. Where their source is code that the
    run names, `trust` says whether it may be run.

    Raises:
        DataError: Nothing says what they are, or they cannot be read.
        CheckpointError: The run's folder cannot be written.
        Interrupted: A signal came; what is made is kept.
    """
    if encoder.run is None:
        raise DataError(f"{encoder.name} is not a run, which would know its training images.")
    spec, fingerprint = _training_data(encoder.run, head)
    data.require_trusted_data(spec, named_in=encoder.run if head is None else head.file, trust=trust)
    images = open_split(spec, "train")
    if fingerprint not in (None, images.fingerprint):
        _LOG.warning("The images of %s have changed since they were trained on: the present ones are used.", spec)
    key = hashlib.sha256(json.dumps([encoder.identity, images.fingerprint, images.name]).encode()).hexdigest()[:12]
    out = runs.RunFolder(encoder.run).features / key
    if not out.exists():
        _LOG.info("Features of the %s training images, kept in %s:", f"{images.size:,}", out)
    try:
        embed_images(EmbedRequest(encoder.name, spec, out, file_format="npy"), encoder, images, interruption)
    except CheckpointError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise CheckpointError(
            f"Cannot keep the features of the training images in {out}: {error.__cause__.strerror or error.__cause__}. "
            f"Write them elsewhere, barlowtf embed --encoder {encoder.name} --data {spec} --out FEATURES, and add --in "
            "FEATURES."
        ) from error
    return Bank(open_features(out, encoder.facts), images)


def _training_data(run: Path, head: Head | None) -> tuple[str, str | None]:
    """Returns SPEC and fingerprint of the training images; None where it is unknown."""
    if head is not None:
        facts = read_result(head.file).data
        return facts.source, facts.fingerprints.get("train")
    folder = runs.RunFolder(run)
    info = folder.read_info()
    return load_recipe(folder.recipe).data.source, None if info is None else info.data.fingerprint


def _open_images(facts: EmbeddedData, folder: Path, trust: bool) -> data.Source | None:
    """Returns the images of a folder of features; None, and a line in the log, where they are not there any more."""
    try:
        data.require_trusted_data(facts.source, named_in=folder, trust=trust)
        images = open_images(facts.source, facts.split)
    except DataError as error:
        _LOG.warning("The embedded images cannot be read, so they are named by number. %s", error)
        return None
    if images.fingerprint != facts.fingerprint:
        _LOG.warning("The images of %s have changed since they were embedded: they are named by number.", facts.source)
        return None
    return images


def picture_of(images: data.Source, number: int, encoder: EncoderFacts) -> np.ndarray:
    """Returns an image with the encoder's channels and bits, uint8 or uint16 [H, W, C].

    Raises:
        DataError: Its channels cannot become the encoder's.
        tf.errors.OpError: It cannot be read.
    """
    color = bytes.fromhex(encoder.background[1:])
    rendering = data.Rendering(encoder.depth, encoder.white, (color[0], color[1], color[2]))
    return data.decode(images.read(np.int64(number)), encoder.image_shape[2], rendering).numpy()
