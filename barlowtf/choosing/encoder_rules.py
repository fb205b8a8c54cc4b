"""Rules for encoder, size of the views and projector: what is affordable decides, on a ladder from dear to cheap."""

import re
from typing import NamedTuple

from barlowtf.choosing.situation import Choice, Situation


class Rung(NamedTuple):
    """An encoder with the size of the views that it is for.

    Attributes:
        encoder: Name of the encoder.
        stem: Its stem.
        size: Height and width of a view, pixels.
        test_size: Height and width in monitors and evaluation, pixels; None: the same.
        pairs: Pairs of views of each image.
    """

    encoder: str
    stem: str
    size: int
    test_size: int | None = None
    pairs: int = 1


# (scale of the images, whether there is a GPU) -> rungs, the dearest first.
_LADDERS = {
    ("tiny", False): (Rung("resnet10_w0p25", "small", 16),),
    ("tiny", True): (Rung("resnet18_w0p5", "small", 16),),
    ("small", False): (Rung("resnet10", "half", 24, 40, 2), Rung("resnet10_w0p5", "half", 24, 40, 2)),
    ("small", True): (Rung("resnet18", "small", 32),),
    ("medium", False): (Rung("resnet10", "half", 64), Rung("resnet10_w0p5", "half", 64)),
    ("medium", True): (Rung("resnet18", "half", 64),),
    ("large", False): (
        Rung("resnet18", "imagenet", 128),
        Rung("resnet10", "imagenet", 96),
        Rung("resnet10_w0p5", "imagenet", 64),
    ),
    ("large", True): (
        Rung("resnet50", "imagenet", 224),
        Rung("resnet18", "imagenet", 224),
        Rung("resnet18", "imagenet", 128),
    ),
}
# Below this, published recipes take a ResNet-18: CIFAR, 50,000 images (solo-learn), Imagenette, 9,469 (Lightly).
_IMAGES_OF_RESNET50 = 50_000
# Scale of the images whose view grows and shrinks with them, pixels.
_SMALL_REFERENCE = 32


def ladder(situation: Situation) -> tuple[Rung, ...]:
    """Returns the rungs for a scale and a machine, the dearest first."""
    rungs = _LADDERS[situation.scale, situation.machine.gpus > 0]
    if situation.facts.images < _IMAGES_OF_RESNET50:
        rungs = tuple(rung for rung in rungs if rung.encoder != "resnet50")
    return rungs


def choose_encoder(situation: Situation) -> Choice:
    """Returns encoder, stem, size of the views and pairs."""
    rungs = ladder(situation)
    rung = rungs[min(situation.rung, len(rungs) - 1)]
    encoder = situation.given.get("model.encoder", rung.encoder)
    stem = rung.stem if re.fullmatch(r"resnet\d.*", encoder) else "auto"
    size, test_size = _sizes(rung, situation)
    if "augment.size" in situation.given:
        size, test_size = situation.given["augment.size"], None
        stem = "auto" if stem != "auto" else stem
    settings = {
        "model.encoder": encoder,
        "model.stem": stem,
        "augment.size": size,
        "augment.test_size": test_size,
        "train.pairs": rung.pairs,
    }
    views = f"views of {size} pixels" + (f", tests of {test_size}" if test_size else "")
    pairs = f", {2 * rung.pairs} of each image" if rung.pairs > 1 else ""
    text = f"{encoder}, {views}{pairs}"
    device = "a GPU" if situation.machine.gpus else f"{situation.machine.cores} cores"
    seen = "a window" if situation["augment.window"] else "the images"
    reason = f"for {situation.scale} images (short side of {seen}: {situation.seen_side}) on {device}"
    return Choice(settings, text, reason)


def _sizes(rung: Rung, situation: Situation) -> tuple[int, int | None]:
    """Returns size and test size of the views; views are never larger than what they show, but for tiny images."""
    if situation.scale == "tiny":
        return rung.size, None
    if situation.scale == "small":
        side = max(situation.seen_side // 8 * 8, 16)
        if rung.test_size is None:
            return side, None
        size, test_size = (
            max(side * of_rung // _SMALL_REFERENCE // 8 * 8, 16) for of_rung in (rung.size, rung.test_size)
        )
        return size, test_size
    return min(rung.size, situation.seen_side // 8 * 8), rung.test_size


# (scale, GPU) -> widths of the projector.
_PROJECTORS = {
    ("tiny", False): (256,),
    ("tiny", True): (256,),
    ("small", True): (2048, 2048, 2048),
    ("medium", True): (2048, 2048, 2048),
    ("large", True): (8192, 8192, 8192),
}
_WITHOUT_GPU = (1024, 1024, 1024)
# The authors' projector is for the 1.28 million images of ImageNet; solo-learn's for the 50,000 of CIFAR is 2048 wide.
_IMAGES_OF_8192 = 100_000


def choose_projector(situation: Situation) -> Choice:
    """Returns the widths of the projector."""
    widths = _PROJECTORS.get((situation.scale, situation.machine.gpus > 0), _WITHOUT_GPU)
    reason = (
        "the step on a processor would wait for a wider one"
        if widths == _WITHOUT_GPU
        else "as in the recipe of its source"
    )
    if widths[0] == 8192 and situation.facts.images < _IMAGES_OF_8192:
        widths, reason = (2048, 2048, 2048), f"fewer than {_IMAGES_OF_8192:,} images"
    if situation.scale == "tiny":
        reason = "one layer: behind three, kNN on the digits was 4 points lower"
    return Choice({"model.projector": widths}, "-".join(map(str, widths)), reason)
