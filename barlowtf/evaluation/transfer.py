"""Protocols places205, inat18 and transfer: a linear classifier on the frozen encoder, on other data.

Source: arXiv:2103.03230, section 4.2 and appendix A.
"""

from typing import Any

from barlowtf.evaluation.classification import TOP1, TOP5
from barlowtf.evaluation.contract import Protocol
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.evaluation.probe import ProbeSettings, measure_probe, trains_encoder
from barlowtf.evaluation.published import Published

_TRANSFER: dict[str, Any] = {"learning_rate": 0.01, "weight_decay": 5e-4, "schedule": "steps", "report": "last"}
_PLACES = ProbeSettings(epochs=14, drop_epochs=(4, 8, 12), **_TRANSFER)
_INAT = ProbeSettings(epochs=84, drop_epochs=(24, 48, 72), **_TRANSFER)


def _transfer(name: str, settings: ProbeSettings, published: Published | None) -> Protocol:
    return Protocol(
        name=name,
        variants={"paper": settings},
        open_data=open_labeled,
        measure=measure_probe,
        measures=(TOP1, TOP5),
        published=published,
        trains_encoder=trains_encoder,
    )


PLACES205 = _transfer("places205", _PLACES, Published({"top1": 0.541}))
INAT18 = _transfer("inat18", _INAT, Published({"top1": 0.465}, data="i_naturalist2018"))
TRANSFER = _transfer("transfer", _PLACES, None)
