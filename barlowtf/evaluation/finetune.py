"""Protocol finetune: the whole network, fine-tuned on all labels.

The paper fine-tunes on 1 % and 10 % of the labels only; these are its settings for 10 % (arXiv:2103.03230, appendix A).
"""

from barlowtf.evaluation.classification import TOP1, TOP5
from barlowtf.evaluation.contract import Protocol
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.evaluation.probe import measure_probe, trains_encoder
from barlowtf.evaluation.semi import SEMI10

FINETUNE = Protocol(
    name="finetune",
    variants={
        "barlowtf": SEMI10.variants["repository"],
        "small": SEMI10.variants["small"],
        "tiny": SEMI10.variants["tiny"],
    },
    open_data=open_labeled,
    measure=measure_probe,
    measures=(TOP1, TOP5),
    trains_encoder=trains_encoder,
)
