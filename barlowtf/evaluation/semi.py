"""Protocols semi1 and semi10: the whole network, fine-tuned on 1 % or 10 % of the labels.

Sources: arXiv:2103.03230, section 3.2 and appendix A; facebookresearch/barlowtwins evaluate.py. The two differ: the
repository anneals a rate of 0.005, the paper drops one of 0.002.
"""

from typing import Any

from barlowtf.evaluation.classification import TOP1, TOP5
from barlowtf.evaluation.contract import Protocol
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.evaluation.probe import SMALL, TINY, ProbeSettings, measure_probe, trains_encoder
from barlowtf.evaluation.published import Published

_IMAGENET = "imagenet2012"
_FINE_TUNE: dict[str, Any] = {"epochs": 20, "learning_rate": 0.5, "weight_decay": 0.0, "report": "last"}
_VARIANTS = {
    "repository": ProbeSettings(encoder_learning_rate=0.005, **_FINE_TUNE),
    "paper": ProbeSettings(
        encoder_learning_rate=0.002, schedule="steps", drop_epochs=(12, 16), drop_factor=0.2, **_FINE_TUNE
    ),
    "small": ProbeSettings(encoder_learning_rate=0.005, **{**_FINE_TUNE, **SMALL}),
    "tiny": ProbeSettings(encoder_learning_rate=0.005, **{**_FINE_TUNE, **TINY}),
}


def _semi(name: str, fraction: float, subset: str, published: Published) -> Protocol:
    def training_spec(spec: str) -> str:
        """For ImageNet the lists of SimCLR, which the published results use, as TensorFlow Datasets has them."""
        return subset if ":".join(spec.split(":")[:2]) == f"tfds:{_IMAGENET}" else spec

    return Protocol(
        name=name,
        variants=_VARIANTS,
        open_data=open_labeled,
        measure=measure_probe,
        measures=(TOP1, TOP5),
        training_spec=training_spec,
        fraction=fraction,
        published=published,
        trains_encoder=trains_encoder,
    )


# The lists are the text files of SimCLR, imagenet_subsets/1percent.txt and 10percent.txt.
SEMI1 = _semi(
    "semi1",
    0.01,
    "tfds:imagenet2012_subset/1pct",
    Published(
        {"top1": 0.55, "top5": 0.792},
        data=_IMAGENET,
        label_list="71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17",
    ),
)
SEMI10 = _semi(
    "semi10",
    0.1,
    "tfds:imagenet2012_subset/10pct",
    Published(
        {"top1": 0.697, "top5": 0.893},
        data=_IMAGENET,
        label_list="6d09de11e7bdaf5b1f3b1f249b6183695f97310cdd20f0c03e7235b6b9392091",
    ),
)
