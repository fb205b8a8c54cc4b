"""Where in a checkpoint the ResNet is: other programs put it under names of their own, beside heads and copies."""

import re
from collections import Counter
from collections.abc import Iterable

from barlowtf.errors import ConversionError

# What a ResNet's tensors are called in torchvision, or in a Sequential of its children ("4.0.conv1."), behind whatever
# stands before it.
_OF_RESNET = re.compile(r"(?:^|(?<=\.))(?:layer[1-4]\.\d+\.|[2-7]\.\d+\.(?:conv|bn)\d\.|conv1\.weight$|bn1\.)")
# DataParallel and torch.compile.
_WRAPPERS = ("module.", "_orig_mod.")
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
        if _OF_RESNET.match(rest) or not (has_resnet or f"{parts[0][common]}." in _WRAPPERS):
            break
        common += 1
    return "".join(f"{part}." for part in parts[0][:common])


def wrapper_prefix(names: Iterable[str]) -> str:
    """Returns what PyTorch's own wrappers have put before every name, "module._orig_mod."; "" where nothing is common.

    Args:
        names: Of the tensors, at least one.
    """
    names, wrapped = list(names), ""
    while wrapper := next((w for w in _WRAPPERS if all(name.startswith(wrapped + w) for name in names)), ""):
        wrapped += wrapper
    return wrapped


def resnet_prefixes(names: Iterable[str]) -> list[str]:
    """Returns what stands before the names of each ResNet, "encoder_q."; "" where nothing does."""
    counts = _counts(names)
    # A head may have a normalization called bn1.
    return [prefix for prefix, count in counts.items() if 2 * count > max(counts.values())]


def encoder_prefix(names: Iterable[str]) -> str | None:
    """Returns what stands before the names of the trained encoder, "encoder_q."; None where there is no ResNet.

    Args:
        names: Of the tensors, without `common_prefix`.

    Raises:
        ConversionError: There are several, and no name says which of them was trained.
    """
    names = list(names)
    if not (prefixes := resnet_prefixes(names)):
        return None
    if "" in _counts(names):
        return ""
    for last in _TRAINED:
        of_name = [prefix for prefix in prefixes if prefix.split(".")[-2] == last]
        if len(of_name) == 1:
            return of_name[0]
    if len(prefixes) == 1:
        return prefixes[0]
    raise ConversionError(
        f"There are {len(prefixes)} encoders, under {', '.join(prefixes)}, and no name says which one was trained. "
        f"Choose one: barlowtf convert --prefix {prefixes[0]}"
    )


def _counts(names: Iterable[str]) -> Counter[str]:
    """Returns how many names of a ResNet stand behind each prefix."""
    found = (_OF_RESNET.search(name) for name in names)
    return Counter(match.string[: match.start()] for match in found if match is not None)
