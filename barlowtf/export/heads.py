"""The classifier that an evaluation has left, and the encoder that it belongs to."""

import logging
from dataclasses import dataclass
from pathlib import Path

import keras

from barlowtf.encoders.encoder import Encoder, with_weights_of
from barlowtf.encoders.loading import load_keras
from barlowtf.errors import ExportError
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.places import HEAD_FORMS, require_head
from barlowtf.records import HeadFacts, Result, read_result
from barlowtf.tables import PROTOCOLS

_LOG = logging.getLogger("barlowtf")


@dataclass(frozen=True)
class Head:
    """A trained classifier.

    Attributes:
        file: The result that it comes from.
        model: Features float32 [N, d] -> logits [N, K].
        class_names: [K].
        encoder: The fine-tuned encoder that it was trained with; None: the frozen one.
        facts: What the record of an export keeps of it.
    """

    file: Path
    model: keras.Model
    class_names: tuple[str, ...]
    encoder: keras.Model | None
    facts: HeadFacts


def open_head(text: str, encoder: Encoder) -> Head:
    """Returns the head of a result, made on this encoder.

    Args:
        text: A result file, its folder, or the name of a protocol: then the result of it in the encoder's run, of the
            lowest seed.
        encoder: What the features come from: the encoder that was measured, or the one that was fine-tuned then.

    Raises:
        ExportError: There is no such result, it has no head, or the head belongs to another encoder.
        CheckpointError: The result is damaged.
    """
    file = _find(text, encoder)
    result = read_result(file)
    if result.head is None or not (file.parent / result.head).exists():
        raise ExportError(
            f"{file} has no head: it is a result of {result.protocol}. Expected one of a protocol that trains a head, "
            "for example linear-fast."
        )
    head_file = file.parent / result.head
    model = load_keras(head_file)
    _require_own_head(file, result, head_file, model)
    tuned_file = head_file.with_name("encoder.keras")
    tuned = load_keras(tuned_file) if tuned_file.exists() else None
    known = [result.encoder.sha256, *([] if tuned is None else [weights_sha256(tuned)])]
    if encoder.sha256 not in known:
        raise ExportError(
            f"The head of {file} belongs to another encoder: received one with weights {encoder.sha256[:12]}, expected "
            f"{' or '.join(sha256[:12] for sha256 in known)} ({result.encoder.name}). "
            "Give that encoder, or measure this one with barlowtf evaluate."
        )
    # Data sets without names of classes have them numbered.
    names = result.data.class_names or tuple(map(str, range(int(model.output_shape[-1]))))
    facts = HeadFacts(
        file=str(file),
        sha256=weights_sha256(model),
        protocol=result.protocol,
        variant=result.variant,
        seed=result.seed,
        labels=result.labels,
        scores=result.scores,
    )
    return Head(file, model, names, tuned, facts)


def _require_own_head(file: Path, result: Result, head_file: Path, model: keras.Model) -> None:
    """Raises ExportError where the head's file is not the one that the result was measured with."""
    found, classes = weights_sha256(model), int(model.output_shape[-1])
    if result.head_sha256 not in (None, found):
        raise ExportError(
            f"{head_file} is not the head of {file}: received weights {found[:12]}, expected "
            f"{result.head_sha256[:12]}. Restore it, or measure again with barlowtf evaluate and another --out."
        )
    if classes != result.data.classes:
        raise ExportError(
            f"{head_file} is not the head of {file}: received one of {classes} classes, expected "
            f"{result.data.classes}. Restore it."
        )
    names = result.data.class_names
    if names is not None and len(names) != classes:
        raise ExportError(f"{file} is damaged: it names {len(names)} classes, and has {classes}. Restore it.")


def encoder_of_head(head: Head, encoder: Encoder) -> Encoder:
    """Returns the encoder that a head belongs to: `encoder` itself, or the one that was fine-tuned with the head.

    Args:
        head: See `open_head`.
        encoder: The encoder that `open_head` has accepted.
    """
    if head.encoder is None or weights_sha256(head.encoder) == encoder.sha256:
        return encoder
    _LOG.info("The head of %s was trained along with its encoder: that one is used.", head.file)
    return with_weights_of(encoder, head.encoder)


def _find(text: str, encoder: Encoder) -> Path:
    require_head(text)
    if text in PROTOCOLS:
        return _of_protocol(text, encoder)
    path = Path(text)
    file = path.with_name(f"{path.name}.json") if path.is_dir() else path
    if path.name == "head.keras":
        file = path.parent.with_name(f"{path.parent.name}.json")
    if not file.is_file() or file.suffix != ".json":
        raise ExportError(f"No result at {path}. Expected {HEAD_FORMS}.")
    return file


def _of_protocol(protocol: str, encoder: Encoder) -> Path:
    """Returns the result of a protocol in the encoder's run, of the lowest seed and the newest of these."""
    if encoder.run is None:
        raise ExportError(f"{encoder.name} is not a run, so it has no result of {protocol}. Give the result's file.")
    files = sorted((encoder.run / "results").glob(f"{protocol}-*.json"), key=lambda file: file.stat().st_mtime)
    results = [(file, read_result(file)) for file in files]
    fitting = [
        (file, result.seed)
        for file, result in results
        if result.protocol == protocol and result.encoder.sha256 == encoder.sha256
    ]
    if not fitting:
        raise ExportError(
            f"{encoder.run} has no result of {protocol} for this encoder. "
            f"Run: barlowtf evaluate --protocol {protocol} --encoder {encoder.name} --data LABELED_IMAGES"
        )
    lowest = min(seed for _, seed in fitting)
    return [file for file, seed in fitting if seed == lowest][-1]
