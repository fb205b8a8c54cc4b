"""Bit masks as COCO's run lengths, plain and compressed. NumPy only.

The lengths of runs go down the columns, column after column: first zeros (perhaps none), then ones, and so on.
Compressed, each length but the first three is the difference from the length two before it, in groups of five bits,
lowest first, as characters from "0" on; a sixth bit says that more groups follow.
"""

from typing import NamedTuple

import numpy as np

_BITS = 5
_LONGEST = 60
_SIGN, _MORE, _FIRST = 1 << (_BITS - 1), 1 << _BITS, ord("0")


class RunLengths(NamedTuple):
    """A bit mask."""

    height: int
    width: int
    counts: np.ndarray  # int64 [runs], of zeros, ones, zeros, ...; their sum is height · width


def encode_runs(bits: np.ndarray) -> RunLengths:
    """Returns the runs of a bit mask.

    Args:
        bits: bool [H, W].

    Source: cocodataset/cocoapi common/maskApi.c, rleEncode.
    """
    height, width = bits.shape
    flat = np.asarray(bits, bool).T.ravel()
    ends = np.flatnonzero(np.diff(flat, prepend=False))
    counts = np.diff(np.concatenate([[0], ends, [flat.size]]))
    return RunLengths(height, width, counts.astype(np.int64))


def decode_runs(runs: RunLengths) -> np.ndarray:
    """Returns the bit mask of runs, bool [H, W].

    Raises:
        ValueError: The runs do not fill the mask.

    Source: cocodataset/cocoapi common/maskApi.c, rleDecode.
    """
    check_runs(runs)
    values = np.arange(len(runs.counts)) % 2 == 1
    return np.repeat(values, runs.counts).reshape(runs.width, runs.height).T


def compress_runs(runs: RunLengths) -> str:
    """Returns the lengths of runs as COCO's files write them.

    Source: cocodataset/cocoapi common/maskApi.c, rleToString.
    """
    counts = [int(count) for count in runs.counts]
    text = []
    for place, count in enumerate(counts):
        rest = count - counts[place - 2] if place > 2 else count
        more = True
        while more:
            group, rest = rest & (_MORE - 1), rest >> _BITS
            more = rest != (-1 if group & _SIGN else 0)
            text.append(chr(_FIRST + group + (_MORE if more else 0)))
    return "".join(text)


def decompress_runs(text: str, *, height: int, width: int) -> RunLengths:
    """Returns the runs that a file of COCO holds.

    Args:
        text: The characters of `compress_runs`.
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.

    Raises:
        ValueError: The text is no such text, or the runs do not fill the mask.

    Source: cocodataset/cocoapi common/maskApi.c, rleFrString.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - _FIRST
        if not 0 <= group < 2 * _MORE or shift > _LONGEST:
            raise ValueError(
                f"Invalid run lengths: received {character!r}, expected characters from '0' to 'o' and numbers of "
                "64 bits."
            )
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & _SIGN:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("Invalid run lengths: received a text that ends within a number, expected a whole one.")
    if max(map(abs, counts), default=0) > height * width:
        raise ValueError(f"Invalid run lengths: received a run beyond {height} x {width} pixels, expected none.")
    runs = RunLengths(height, width, np.array(counts, np.int64))
    check_runs(runs)
    return runs


def check_runs(runs: RunLengths) -> None:
    """Raises ValueError if the runs do not fill the mask."""
    if (runs.counts < 0).any() or runs.counts.sum() != runs.height * runs.width:
        raise ValueError(
            f"Invalid run lengths: received {runs.counts.sum()} pixels in {len(runs.counts)} runs, expected runs of 0 "
            f"or more that add up to {runs.height} x {runs.width}."
        )
