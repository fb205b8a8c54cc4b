"""`barlowtf predict`: labels, similar training images and novelty of new images, one row for each.

::

    OUT                  the rows; OUT.json: the record; OUT.skipped.jsonl: images that cannot be read
    .OUT-ID.features/    features of the new images while the command works, so that it can resume
"""

import hashlib
import json
import logging
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from barlowtf import data
from barlowtf.atomic import whole_files
from barlowtf.distribute import describe_surroundings
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.feature_folder import FeatureFolder, open_features
from barlowtf.encoders.loading import load
from barlowtf.errors import BarlowTFError, ConfigError, DataError, Interrupted
from barlowtf.experiment.bank import open_bank, training_bank
from barlowtf.experiment.data import open_images
from barlowtf.experiment.embed import EmbedRequest, embed_images
from barlowtf.experiment.output_files import require_own, require_place
from barlowtf.experiment.predicted_rows import (
    Labeler,
    Neighborhood,
    PredictedRows,
    head_labeler,
    make_neighborhood,
    vote_labeler,
)
from barlowtf.experiment.row_files import format_of, row_writer
from barlowtf.experiment.skipping import skips_of
from barlowtf.export.heads import Head, encoder_of_head, open_head
from barlowtf.records import PredictionRecord, write_record
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
# Neighbors that a row names where no number is given, and images whose rows are made at a time.
_NEIGHBORS, _PIECE = 5, 2000


@dataclass(frozen=True)
class PredictRequest:
    """What `barlowtf predict` writes.

    Attributes:
        encoder: See `barlowtf.encoders.load`.
        source: SPEC of the new images, or one image file.
        out: File of the rows: .csv, .parquet or .jsonl. Rows of an earlier prediction are replaced, nothing else is.
        head: See `barlowtf.export.heads.open_head`; None: neighbors vote for a label where they have classes.
        split: "train" or "test" of the new images; a folder without such parts is its training split.
        features: Folder of `barlowtf embed` with the features of the training images; None: those that the run keeps,
            made where they are missing.
        neighbors: Number of similar training images to name, >= 0; 0: none, and no novelty. None: 5 where the training
            images can be had.
        top: Number of labels to give, the most probable first, >= 1.
        config: Recipe of the encoder, see `barlowtf.encoders.load`.
        trust: See `barlowtf.encoders.load`.
        max_unreadable: Maximum number of images whose row says that they cannot be read, >= 0; None: see `skips_of`.
    """

    encoder: str
    source: str
    out: Path
    head: str | None = None
    split: str = "train"
    features: Path | None = None
    neighbors: int | None = None
    top: int = 1
    config: str | None = None
    trust: bool = False
    max_unreadable: int | None = None


def predict(request: PredictRequest) -> PredictionRecord:
    """Writes labels, similar training images and novelty of new images; resumes where an earlier call was stopped.

    Every image has a row; that of an image that cannot be read has `error` alone.

    Raises:
        ConfigError: Options do not fit each other, or the file cannot be written there.
        DataError: There are no such images, none of them can be read, too many cannot, or features are not finite.
        ExportError: The head is missing or belongs to another encoder.
        CheckpointError: The encoder or a folder of features cannot be used.
        Interrupted: A signal came. The same call resumes.
    """
    started = time.monotonic()
    _check(request)
    with Interruption().listening() as interruption:
        encoder = load(request.encoder, config=request.config, trust=request.trust)
        head = None if request.head is None else open_head(request.head, encoder)
        if head is not None:
            encoder = encoder_of_head(head, encoder)
        images = open_images(request.source, request.split)
        near, no_bank = _find_neighborhood(request, encoder, head, interruption)
        labeler = head_labeler(head) if head is not None else None if near is None else vote_labeler(near.bank)
        if labeler is not None and request.top > len(labeler.names):
            raise ConfigError(
                f"Invalid --top: received {request.top}, expected at most the {len(labeler.names)} classes."
            )
        skipped = skips_of([encoder], request.max_unreadable, None)
        features = _features(request, encoder, images, interruption, skipped)
        rows = PredictedRows(
            images,
            features,
            labeler,
            near,
            top=request.top,
            channels=encoder.image_shape[2],
            rendering=encoder.rendering,
            skipped=skipped,
        )
        try:
            record = _write(request, rows, encoder, head, labeler, near, features, no_bank, started)
            _list_skipped(request.out.with_name(f"{request.out.name}.{data.SKIPPED_FILE}"), skipped)
        except OSError as error:
            raise ConfigError(
                f"Cannot write {request.out}: {error.strerror or error}. Choose another --out."
            ) from error
    for folder in request.out.parent.glob(f".{request.out.name}-*.features"):
        shutil.rmtree(folder, ignore_errors=True)
    return record


def _check(request: PredictRequest) -> None:
    """Raises ConfigError for what can be seen before anything is read."""
    format_of(request.out)
    require_place(request.out, "rows.csv")
    require_own(request.out, _record_file(request.out), PredictionRecord)
    if request.neighbors == 0 and request.head is None:
        raise ConfigError("Nothing to predict: received --neighbors 0 and no head. Add --head, or leave out the 0.")
    if request.neighbors == 0 and request.features is not None:
        raise ConfigError(f"Invalid --in: received {request.features} with --neighbors 0. Leave out one of them.")


def _record_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.json")


def _find_neighborhood(
    request: PredictRequest, encoder: Encoder, head: Head | None, interruption: Interruption
) -> tuple[Neighborhood | None, str | None]:
    """Returns what finds similar training images, or why there is nothing to find them in."""
    if request.neighbors == 0:
        return None, "--neighbors 0"
    try:
        if request.features is not None:
            bank = open_bank(request.features, encoder.facts, trust=request.trust)
        else:
            bank = training_bank(encoder, head, interruption, trust=request.trust)
        return make_neighborhood(bank, request.neighbors or _NEIGHBORS), None
    except Interrupted:
        raise
    except BarlowTFError as error:
        # What is wrong with features says what to do itself.
        missing = isinstance(error, DataError) and request.features is None
        advice = " Or give the features of training images with --in." if missing else ""
        if head is None or request.features is not None or request.neighbors is not None:
            if not missing:
                raise
            raise DataError(f"No training images to compare with. {error}{advice}") from error
        _LOG.warning("No neighbors and no novelty: %s%s", error, advice)
        return None, " ".join(str(error).split())


def _features(
    request: PredictRequest,
    encoder: Encoder,
    images: data.Source,
    interruption: Interruption,
    skipped: data.SkippedImages,
) -> FeatureFolder:
    """Returns the features of the new images, kept beside the file until it is written."""
    key = hashlib.sha256(json.dumps([encoder.identity, images.fingerprint, images.name]).encode()).hexdigest()[:8]
    scratch = request.out.with_name(f".{request.out.name}-{key}.features")
    embedding = EmbedRequest(request.encoder, request.source, scratch, split=request.split)
    manifest = embed_images(embedding, encoder, images, interruption, skipped)
    if not manifest.rows:
        shutil.rmtree(scratch, ignore_errors=True)
        reason = data.unreadable_reason(images, 0, encoder.image_shape[2], encoder.rendering)
        raise DataError(
            f"Cannot read any image of {images.name}: all {images.size} are unreadable, e.g. {images.identify(0)} "
            f"({reason}). Check that the files are images."
        )
    return open_features(scratch)


def _list_skipped(file: Path, skipped: data.SkippedImages) -> None:
    """Lists the images that cannot be read; a list of an earlier call is replaced."""
    file.unlink(missing_ok=True)
    skipped.list_in(file)


def _write(
    request: PredictRequest,
    rows: PredictedRows,
    encoder: Encoder,
    head: Head | None,
    labeler: Labeler | None,
    near: Neighborhood | None,
    features: FeatureFolder,
    no_bank: str | None,
    started: float,
) -> PredictionRecord:
    """Writes rows and record, both or neither; returns the record."""
    record_file = _record_file(request.out)
    with whole_files([request.out, record_file]) as (rows_aside, record_aside):
        with row_writer(rows_aside, rows.schema) as write:
            for table in rows.tables(_PIECE):
                write(table)
        record = PredictionRecord(
            file=str(request.out),
            record=str(record_file),
            format=format_of(request.out),
            columns=tuple(rows.schema.names),
            encoder=encoder.facts,
            head=None if head is None else head.facts,
            labeled_by=None if labeler is None else labeler.kind,
            voters=None if labeler is None else labeler.voters,
            class_names=None if labeler is None else labeler.names,
            data=features.manifest.data,
            bank=None if near is None else near.facts,
            no_bank=no_bank,
            seconds=round(time.monotonic() - started, 1),
            **rows.summary(),
            **dict(describe_surroundings(tf.distribute.get_strategy())),
        )
        write_record(record_aside, record)
    return record
