"""`barlowtf search`: a photo, or an image that is embedded already -> the most similar embedded images."""

import logging
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import tensorflow as tf

from barlowtf import data
from barlowtf.atomic import write_file
from barlowtf.data.image_files import ImageFiles
from barlowtf.encoders.encoder import Encoder
from barlowtf.encoders.loading import load
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.experiment.bank import Bank, open_bank, picture_of
from barlowtf.experiment.embed import readable_features, storable_text
from barlowtf.experiment.output_files import require_page
from barlowtf.metrics import nearest_neighbors
from barlowtf.places import require_photo
from barlowtf.records import EncoderFacts, Match, QueryMatches, SearchRecord
from barlowtf.report import Picture, ShownImage, ShownQuery, render_sheet, thumbnail

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class SearchRequest:
    """What `barlowtf search` looks for.

    Attributes:
        features: The --out folder of `barlowtf embed`, whose images are searched.
        photos: Image files to look for.
        ids: Numbers of embedded images to look for.
        matches: Maximum number of images to give for each, >= 1.
        encoder: The encoder of the features, where it does not lie any more where they say; None: there.
        config: Recipe of the encoder, see `barlowtf.encoders.load`.
        out: HTML page of thumbnails to write; None: none.
        trust: See `barlowtf.encoders.load`.
    """

    features: Path
    photos: Sequence[str] = ()
    ids: Sequence[int] = ()
    matches: int = 10
    encoder: str | None = None
    config: str | None = None
    out: Path | None = None
    trust: bool = False


@dataclass(frozen=True)
class _Query:
    """What is looked for: its path, its row in the bank (None: a photo), and where its pixels come from."""

    path: str
    row: int | None
    images: data.Source | None
    number: int


def search(request: SearchRequest) -> SearchRecord:
    """Returns the images whose features have the highest cosine similarity to those of each query; all are compared.

    Photos that cannot be read are left out and named.

    Raises:
        ConfigError: There is nothing to look for, or the page cannot be written there.
        CheckpointError: The folder holds no features, its encoder is missing or another one, or there is no such id.
        DataError: There is no such photo, or none can be read.
    """
    _check(request)
    bank = open_bank(request.features, with_images=request.out is not None, trust=request.trust)
    facts = bank.folder.manifest.encoder
    queries, features, unreadable = _known(bank, request.ids)
    if request.photos:
        encoder = _open_encoder(request, facts)
        photos, found, unreadable = _photos(encoder, request.photos)
        queries, features = photos + queries, np.concatenate([found, features])
    started = time.perf_counter()
    # An image is its own nearest: one more is looked for.
    count = min(request.matches + bool(request.ids), bank.folder.rows)
    similarity, rows = nearest_neighbors(bank.folder.features, features, neighbors=count)
    seconds = time.perf_counter() - started
    record = SearchRecord(
        folder=str(request.features),
        encoder=facts,
        data=bank.folder.manifest.data,
        rows=bank.folder.rows,
        queries=tuple(
            _matches(bank, query, near, best, request.matches)
            for query, near, best in zip(queries, rows, similarity, strict=True)
        ),
        unreadable=unreadable,
        search_seconds=round(seconds, 4),
        sheet=None if request.out is None else str(request.out),
    )
    if request.out is not None:
        _write_sheet(request.out, record, bank, queries)
    return record


def _check(request: SearchRequest) -> None:
    """Raises for what can be seen before anything is read."""
    if not request.photos and not request.ids:
        raise ConfigError("Nothing to look for: received neither a photo nor --id. Give one of them.")
    for photo in request.photos:
        require_photo(photo)
    if request.out is not None:
        require_page(request.out, "sheet.html")


def _known(bank: Bank, ids: Sequence[int]) -> tuple[list[_Query], np.ndarray, dict[str, str]]:
    """Returns embedded images as queries, and their features [n, d]."""
    rows = [bank.folder.row_of(number) for number in ids]
    queries = [_Query(bank.path(row), row, bank.images, number) for row, number in zip(rows, ids, strict=True)]
    empty = np.zeros((0, bank.folder.manifest.encoder.feature_width), np.float32)
    return queries, np.concatenate([empty, *(bank.folder.features[row : row + 1] for row in rows)]), {}


def _open_encoder(request: SearchRequest, facts: EncoderFacts) -> Encoder:
    """Returns the encoder that made the features."""
    name = request.encoder or facts.name
    try:
        encoder = load(name, config=request.config, trust=request.trust)
    except (CheckpointError, ConfigError) as error:
        if request.encoder is not None:
            raise
        raise CheckpointError(
            f"The encoder of the features is not where they say. {error} Name it with --encoder."
        ) from error
    if encoder.identity != facts.identity:
        raise CheckpointError(
            f"{name} is not the encoder of the features in {request.features}: received weights "
            f"{encoder.sha256[:12]}, expected {facts.sha256[:12]}, images prepared in the same way. Name that encoder "
            "with --encoder, or embed the images again."
        )
    return encoder


def _photos(encoder: Encoder, photos: Sequence[str]) -> tuple[list[_Query], np.ndarray, dict[str, str]]:
    """Returns photos as queries, their features [n, d], and why others cannot be read."""
    images = ImageFiles("photos", Path(), [(photo, os.path.getsize(photo)) for photo in photos])
    # Each was named by the user, and its line says what is wrong with it: there is no limit.
    skipped = data.SkippedImages(images.size)
    features, ids = readable_features(encoder, images, np.arange(images.size), skipped)
    unreadable = {storable_text(photos[number]): reason for number, reason in skipped.reasons(images).items()}
    if not len(ids):
        path, reason = next(iter(unreadable.items()))
        raise DataError(f"Cannot read any of {images.size} photos, e.g. {path} ({reason}). Expected images.")
    queries = [_Query(storable_text(photos[number]), None, images, number) for number in ids.tolist()]
    return queries, features, unreadable


def _matches(bank: Bank, query: _Query, rows: np.ndarray, similarity: np.ndarray, count: int) -> QueryMatches:
    """Returns the images that were found for a query, without the query itself."""
    folder = bank.folder
    found = [(row, value) for row, value in zip(rows.tolist(), similarity.tolist(), strict=True) if row != query.row]
    return QueryMatches(
        query=query.path,
        id=None if query.row is None else query.number,
        label=None if query.row is None else folder.label_name(query.row),
        matches=tuple(
            Match(
                id=int(folder.ids[row]),
                path=bank.path(row),
                label=folder.label_name(row),
                # Rounding may leave a similarity just above 1.
                distance=round(max(0.0, 1.0 - value), 6),
            )
            for row, value in found[:count]
        ),
    )


def _write_sheet(out: Path, record: SearchRecord, bank: Bank, queries: Sequence[_Query]) -> None:
    """Writes the page of thumbnails."""
    shown = []
    for query, answer in zip(queries, record.queries, strict=True):
        image = ShownImage(_picture(query.images, query.number, record.encoder), answer.query, answer.label, None)
        matches = [
            ShownImage(_picture(bank.images, match.id, record.encoder), match.path, match.label, match.distance)
            for match in answer.matches
        ]
        shown.append(ShownQuery(image, matches))
    page = render_sheet(record, shown, created=datetime.now(UTC), version=metadata.version("barlowtf"))
    try:
        write_file(out, page.encode("utf-8", "replace"))
    except OSError as error:
        raise ConfigError(f"Cannot write {out}: {error.strerror}. Choose another --out.") from error


def _picture(images: data.Source | None, number: int, encoder: EncoderFacts) -> Picture | None:
    """Returns the thumbnail of an image; None where it cannot be read any more."""
    if images is None:
        return None
    try:
        return thumbnail(picture_of(images, number, encoder))
    except (tf.errors.OpError, DataError) as error:
        _LOG.warning("No thumbnail of %s: %s", images.identify(number), str(error).partition("\n")[0])
        return None
