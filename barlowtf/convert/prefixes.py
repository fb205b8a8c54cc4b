"""Where in a checkpoint the ResNet is: other programs put it under names of their own, beside heads and copies."""

import re
from collections import Counter
from collections.abc import Iterable

from barlowtf.errors import ConversionError

# What a ResNet's tensors are called in torchvision, behind whatever stands before it.
_OF_RESNET = re.compile(r"(?:^|(?<=\.))(?:layer[1-4]\.\d+\.|conv1\.weight$|bn1\.)")
# DataParallel and torch.compile.
_WRAPPERS = ("module", "_orig_mod")
# Of several, the one that is trained: solo-learn, MoCo, SimCLR and lightly, BYOL, Lightning, MMSelfSup.
_TRAINED = ("backbone", "encoder_q", "encoder", "base_encoder", "online_encoder", "model", "net")


def common_prefix(names: Iterable[str]) -> str:
    """Returns what wrappers have put before every name, "module._orig_mod."; "" where nothing is common.

    Where there is no ResNet, only what PyTorch's own wrappers put there counts: "features." may be part of the names.

    Args:
        names: Of the tensors, at least one.
    """
    parts = [name.split(".") for name in names]
    has_resnet = any(_OF_RESNET.search(".".join(part)) for part in parts)
    common = 0
    while all(len(part) > common + 1 and part[common] == parts[0][common] for part in parts):
        rest = ".".join(parts[0][common:])
        if _OF_RESNET.match(rest) or not (has_resnet or parts[0][common] in _WRAPPERS):
            break
        common += 1
    return "".join(f"{part}." for part in parts[0][:common])


def encoder_prefix(names: Iterable[str]) -> str | None:
    """Returns what stands before the names of the trained encoder, "encoder_q."; None where there is no ResNet.

    Args:
        names: Of the tensors, without `common_prefix`.

    Raises:
        ConversionError: There are several, and no name says which of them was trained.
    """
    found = (match for match in map(_located, names) if match is not None)
    counts = Counter(found)
    if not counts:
        return None
    if "" in counts:
        return ""
    # A head may have a normalization called bn1.
    prefixes = [prefix for prefix, count in counts.items() if 2 * count > max(counts.values())]
    for last in _TRAINED:
        of_name = [prefix for prefix in prefixes if prefix.split(".")[-2] == last]
        if len(of_name) == 1:
            return of_name[0]
    if len(prefixes) == 1:
        return prefixes[0]
    raise ConversionError(
        f"There are {len(prefixes)} encoders, under {', '.join(prefixes)}, and no name says which one was trained. "
        "Save one of them by itself."
    )


def _located(name: str) -> str | None:
    match = _OF_RESNET.search(name)
    return None if match is None else name[: match.start()]
