"""Protocol linear: a linear classifier on the frozen encoder, trained on random crops.

Sources: arXiv:2103.03230, section 3 and appendix A; facebookresearch/barlowtwins evaluate.py.
"""

from barlowtf.evaluation.classification import TOP1, TOP5
from barlowtf.evaluation.contract import Protocol
from barlowtf.evaluation.labeled_splits import open_labeled
from barlowtf.evaluation.probe import SMALL, TINY, ProbeSettings, measure_probe, trains_encoder
from barlowtf.evaluation.published import Published

LINEAR = Protocol(
    name="linear",
    variants={"repository": ProbeSettings(), "small": ProbeSettings(**SMALL), "tiny": ProbeSettings(**TINY)},
    open_data=open_labeled,
    measure=measure_probe,
    measures=(TOP1, TOP5),
    published=Published({"top1": 0.732, "top5": 0.91}, data="imagenet2012"),
    trains_encoder=trains_encoder,
)
