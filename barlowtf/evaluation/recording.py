"""What a result is a result of: its name, and its record."""

import hashlib
import json
from typing import Any

from barlowtf.encoders import Encoder
from barlowtf.encoders.loading import load_keras
from barlowtf.evaluation.contract import Outcome, Splits, Task
from barlowtf.evaluation.variants import Chosen
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.records import DataFacts, Result, Subset, Surroundings


def name_result(
    choice: Chosen, encoder: Encoder, splits: Splits, subset: Subset | None, *, seed: int, replicas: int
) -> str:
    """Returns the name of a measurement's files; eight digits of it stand for all that can change the scores.

    Args:
        choice: Protocol, variant and settings.
        encoder: What is measured.
        splits: All images of the protocol.
        subset: How the labels were chosen; None: all of them.
        seed: Seed of the measurement.
        replicas: Replicas that train together.
    """
    facts = {
        "protocol": choice.protocol.name,
        "variant": choice.variant,
        "settings": choice.settings.model_dump(mode="json"),
        "encoder": encoder.identity,
        "data": splits.fingerprints,
        # Without images that cannot be read it is another measurement, with an order of its own.
        "images": [splits.train.size, splits.test.size],
        "subset": None if subset is None else subset.sha256,
        "seed": seed,
        "replicas": replicas,
    }
    digits = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
    return f"{choice.protocol.name}-{choice.variant}-{encoder.label}-seed{seed}-{digits}"


def make_result(
    choice: Chosen,
    task: Task[Any],
    outcome: Outcome,
    *,
    source: str,
    test_source: str | None,
    splits: Splits,
    subset: Subset | None,
    seconds: float,
    surroundings: Surroundings,
) -> Result:
    """Returns the record of a measurement.

    Args:
        choice: Protocol, variant and settings.
        task: What was measured.
        outcome: What came out.
        source: SPEC of the data.
        test_source: SPEC of the test images; None: those of `source`.
        splits: All images of the protocol.
        subset: How the labels were chosen; None: all of them.
        seconds: Wall time, s.
        surroundings: Where it was measured.
    """
    protocol, variant, settings, changes = choice
    encoder, published, confusion = task.encoder.facts, protocol.published, outcome.confusion
    objection: str | None = "no published number"
    if published is not None and (test_source is not None or not published.is_for(source, splits.test.size, subset)):
        published = None
    if published is not None:
        objection = published.objection(
            source=source,
            variant=variant,
            changes=changes,
            encoder=encoder,
            test_images=splits.test.size,
            subset=subset,
        )
    head, sheet = task.folder / "head.keras", task.folder / "sheet.jpg"
    return Result(
        **surroundings.model_dump(),
        protocol=protocol.name,
        variant=variant,
        settings=settings.model_dump(mode="json"),
        changed_settings=changes,
        encoder=encoder,
        data=DataFacts(
            source=source,
            test_source=test_source,
            train_images=splits.train.size,
            test_images=splits.test.size,
            classes=splits.class_count,
            class_names=splits.class_names,
            fingerprints=splits.fingerprints,
            held_out=splits.held_out,
        ),
        labels=task.splits.train.size,
        subset=subset,
        seed=task.seed,
        scores=outcome.scores,
        measures=protocol.measures,
        details=outcome.details,
        published=None if published is None else dict(published.scores),
        not_comparable=objection,
        head=f"{task.folder.name}/{head.name}" if head.exists() else None,
        head_sha256=weights_sha256(load_keras(head)) if head.exists() else None,
        sheet=f"{task.folder.name}/{sheet.name}" if sheet.exists() else None,
        seconds=round(seconds, 1),
        per_class=tuple(outcome.per_class),
        per_class_title=protocol.per_class_title,
        confusion_matrix=None if confusion is None else tuple(map(tuple, confusion)),
    )
