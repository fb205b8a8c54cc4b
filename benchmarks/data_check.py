"""What `barlowtf data check` finds of what was planted among 5,000 images of CIFAR-10, and how long it takes.

Planted: equal copies (the same bytes, and PNG files of the same pixels), nearly equal ones (JPEG again at quality 60,
and twice as large), both within train and from train to test, copies under another label, broken files, images of one
color, a class of one image. Mirror images are planted, too, and must not be found. Then all 60,000 images as they are.

Command: python -m benchmarks.data_check CIFAR10 [ENCODER...]
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from barlowtf.experiment import CheckRequest, DataCheck, check_data
from benchmarks import machine

_TRAIN, _TEST, _EACH = 4_500, 500, 10


def _jpeg(image: Image.Image, quality: int) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=quality)
    return content.getvalue()


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def _twice(image: Image.Image) -> bytes:
    return _jpeg(image.resize((2 * image.width, 2 * image.height), Image.Resampling.BICUBIC), 90)


# Kind -> ending, and the bytes of a copy.
_COPIES: dict[str, tuple[str, Callable[[Path, Image.Image], bytes]]] = {
    "equal bytes": (".jpg", lambda file, image: file.read_bytes()),
    "equal pixels": (".png", lambda file, image: _png(image)),
    "again at quality 60": (".jpg", lambda file, image: _jpeg(image, 60)),
    "twice as large": (".jpg", lambda file, image: _twice(image)),
    "mirrored": (".jpg", lambda file, image: _jpeg(ImageOps.mirror(image), 90)),
}


def plant(cifar: Path, folder: Path) -> dict[str, list[frozenset[str]]]:
    """Makes the data set; returns kind -> pairs of an image and its copy, or broken and flat images alone."""
    r = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", _TRAIN), ("test", _TEST)):
        files = sorted((cifar / split).glob("*/*"))
        chosen = [files[number] for number in np.sort(r.permutation(len(files))[:count])]
        splits[split] = [folder / split / file.parent.name / file.name for file in chosen]
        for file, target in zip(chosen, splits[split], strict=True):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    planted: dict[str, list[frozenset[str]]] = {}
    sources = iter([splits["train"][number] for number in r.permutation(_TRAIN)])
    for kind, (ending, copy) in _COPIES.items():
        for into in ("train", "test"):
            for _ in range(_EACH):
                source = next(sources)
                target = folder / into / source.parent.name / f"planted-{kind.replace(' ', '-')}-{source.stem}{ending}"
                target.write_bytes(copy(source, Image.open(source)))
                planted.setdefault(f"{kind}, {into}", []).append(frozenset({str(source), str(target)}))
    other = next(source for source in sources if source.parent.name != "cat")
    wrong = folder / "train" / "cat" / f"planted-{other.name}"
    wrong.write_bytes(other.read_bytes())
    planted["another label"] = [frozenset({str(other), str(wrong)})]
    planted["broken"], planted["one color"] = [], []
    for number in range(_EACH):
        content = splits["train"][number].read_bytes()
        file = folder / "train" / "dog" / f"planted-broken-{number}.jpg"
        file.write_bytes((content[: len(content) // 2], b"", b"not an image")[number % 3])
        planted["broken"].append(frozenset({str(file)}))
        file = folder / "train" / "dog" / f"planted-flat-{number}.png"
        file.write_bytes(_png(Image.new("RGB", (32, 32), (8 * number, 100, 90))))
        planted["one color"].append(frozenset({str(file)}))
    single = folder / "train" / "unicorn" / "only.png"
    single.parent.mkdir()
    single.write_bytes(_png(Image.fromarray(r.integers(0, 256, (32, 32, 3), np.uint8))))
    return planted


def compare(check: DataCheck, planted: dict[str, list[frozenset[str]]]) -> dict[str, Any]:
    """Returns how many of each kind were found, and what was found beside them."""
    train = check.splits["train"]
    groups = [frozenset(group.images) for group in (*check.equal, *(check.near or ()))]
    alone = {"broken": set(train.unreadable), "one color": set(train.flat)}
    found = {
        kind: sum(any(places <= group for group in ([alone[kind]] if kind in alone else groups)) for places in expected)
        for kind, expected in planted.items()
    }
    known = [places for kind, expected in planted.items() if kind not in alone for places in expected]
    other = [sorted(group) for group in groups if not any(places <= group for places in known)]
    listed = {place for kind in alone for places in planted[kind] for place in places}
    return {
        "planted_and_found": {kind: [len(expected), found[kind]] for kind, expected in planted.items()},
        "other_groups": [[str(Path(*Path(place).parts[-3:])) for place in group] for group in other],
        "other_files": len((alone["broken"] | alone["one color"]) - listed),
        "similarity": check.similarity,
        "findings": [f"{finding.severity}: {finding.what}" for finding in check.findings],
        "seconds": check.seconds,
    }


def measure(cifar: Path, encoders: Iterable[str | None]) -> dict[str, Any]:
    """Returns what each way of comparing finds of the same planted images."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "planted"
        planted = plant(cifar, folder)
        return {
            encoder or "equal images alone": compare(check_data(CheckRequest(str(folder), encoder)), planted)
            for encoder in encoders
        }


if __name__ == "__main__":
    cifar10, *encoders = sys.argv[1:]
    planted = measure(Path(cifar10), (None, "pixels", *encoders))
    whole = check_data(CheckRequest(cifar10, "pixels"))
    found = [f"{finding.severity}: {finding.what}" for finding in whole.findings]
    counts = {name: split.images for name, split in whole.splits.items()}
    all_of_it = {"images": counts, "compared_by": "pixels", "findings": found, "seconds": whole.seconds}
    machine.write_result("data_check", {"planted": planted, "all_of_cifar10": all_of_it})
