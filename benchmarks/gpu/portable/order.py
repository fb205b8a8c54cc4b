"""Which examples a step reads: the library's order, in NumPy.

The library orders an epoch by TensorFlow's `random_index_shuffle`, which no compiler takes into a program. It is a
permutation by a block cipher: Simon with four rounds on the smallest even number of bits, at least 16, that holds every
index; an index that leaves the range is enciphered again until it is back.

Source: Beaulieu et al., The SIMON and SPECK families of lightweight block ciphers, 2013 (round function, section 3.1;
key schedule for three key words and sequence z, section 3.2); Black and Rogaway, Ciphers with arbitrary finite domains,
2002 (cycle walking).
"""

import numpy as np

_ROUNDS = 4
_SMALLEST_BLOCK = 16
# First key word: TensorFlow puts it before the two that a caller gives.
_FIRST_KEY = 498247692
# Sequence of the key schedule, its first bits; four rounds read one of them.
_SEQUENCE = 0x7369F885192C0EF5


def step_ids(step: int, *, size: int, batch_size: int, seed: int) -> tuple[int, np.ndarray]:
    """Returns the epoch of a step and the examples of its batch, int64 [batch_size].

    Args:
        step: Number of the step from the start of training, >= 0.
        size: Number of examples.
        batch_size: Images per step, at most `size`.
        seed: Seed of the run.
    """
    steps = size // batch_size
    epoch, place = divmod(step, steps)
    return epoch, shuffled(np.arange(place * batch_size, (place + 1) * batch_size), size, seed, epoch)


def shuffled(places: np.ndarray, size: int, seed: int, epoch: int) -> np.ndarray:
    """Returns the examples at some places of an epoch's order, int64, in [0, size)."""
    largest = size - 1
    if largest == 0:
        return np.zeros(len(places), np.int64)
    block = max(int(np.ceil(np.log2(largest))), _SMALLEST_BLOCK)
    word = (block + block % 2) // 2
    keys = _round_keys([_FIRST_KEY, seed, epoch], word)
    ids = _encipher(places.astype(np.uint64), keys, word)
    while (outside := ids > largest).any():
        ids[outside] = _encipher(ids[outside], keys, word)
    return ids.astype(np.int64)


def _round_keys(key: list[int], word: int) -> list[int]:
    mask = (1 << word) - 1
    keys = [part & 0xFFFFFFFF & mask for part in key]
    for index in range(3, _ROUNDS):
        last = keys[index - 1]
        turned = _right(last, 3, word, mask) ^ _right(last, 4, word, mask)
        bit = (_SEQUENCE >> (index - 3)) & 1
        keys.append((0xFFFFFFFC & mask) ^ bit ^ keys[index - 3] ^ turned)
    return keys


def _encipher(values: np.ndarray, keys: list[int], word: int) -> np.ndarray:
    mask = np.uint64((1 << word) - 1)
    left, right = values >> np.uint64(word), values & mask
    for first, second in zip(keys[::2], keys[1::2], strict=True):
        left = left ^ _mixed(right, word, mask) ^ np.uint64(first)
        right = right ^ _mixed(left, word, mask) ^ np.uint64(second)
    return (left << np.uint64(word)) | right


def _mixed(half: np.ndarray, word: int, mask: np.uint64) -> np.ndarray:
    def left(bits: int) -> np.ndarray:
        return ((half << np.uint64(bits)) | (half >> np.uint64(word - bits))) & mask

    return (left(1) & left(8)) ^ left(2)


def _right(value: int, bits: int, word: int, mask: int) -> int:
    return ((value >> bits) | (value << (word - bits))) & mask
