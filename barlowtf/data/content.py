"""What identifies the content of images: a sample of the bytes of their files, or all that they hold."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

from barlowtf.data.source import Source

# Files, evenly spread over all of them, whose bytes enter the sample; blocks of them all together.
_FILES = _BLOCKS = 1024
_BLOCK_BYTES = 4096
_FEWEST_BLOCKS = 3
# A disk in the network answers many questions at once.
_THREADS = 16
_PART = 256

# Stands for the digest of what cannot be read.
UNREADABLE = b"unreadable"


def sampled_content(files: Sequence[tuple[str | bytes, int]]) -> bytes:
    """Returns sha256, 32 bytes, over a sample of what files hold: cheap however many they are.

    Of up to 1,024 files, evenly spread, at least three blocks of 4 KiB each are read: the first, the last, and what
    lies evenly between them; of fewer files more blocks, about 1,024 in all. So of 1,024 images each is looked at, and
    of a million one in a thousand.

    Args:
        files: Path and size in bytes of each. A file that cannot be read counts as such.
    """
    chosen = [files[number] for number in _spread(len(files), _FILES)]
    blocks = max(_FEWEST_BLOCKS, _BLOCKS // max(1, len(chosen)))
    digest = hashlib.sha256()
    with ThreadPoolExecutor(_THREADS) as threads:
        for part in threads.map(lambda file: _sample(file[0], file[1], blocks), chosen):
            digest.update(part)
    return digest.digest()


def whole_content(source: Source) -> str:
    """Returns sha256, 64 hexadecimal digits, over everything that the images of a data set hold, in their order.

    Reads all of it; what cannot be read counts as such.
    """
    digest = hashlib.sha256()
    for part in image_digests(source):
        digest.update(part)
    return digest.hexdigest()


def image_digests(source: Source) -> Iterator[bytes]:
    """Yields sha256, 32 bytes, over each image as it is stored, in order; `UNREADABLE` for what cannot be read."""
    with ThreadPoolExecutor(_THREADS) as threads:
        for start in range(0, source.size, _PART):
            yield from threads.map(lambda index: _example(source, index), range(source.size)[start : start + _PART])


def _spread(count: int, most: int) -> list[int]:
    """Returns up to `most` numbers in [0, count), evenly spread, the first and the last among them."""
    return [int(number) for number in np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))]


def _sample(path: str | bytes, size: int, blocks: int) -> bytes:
    """Returns sha256 over some blocks of a file, whole where they would be all of it."""
    offsets = [0] if size <= blocks * _BLOCK_BYTES else _spread(size - _BLOCK_BYTES + 1, blocks)
    length = size if len(offsets) == 1 else _BLOCK_BYTES
    digest = hashlib.sha256()
    try:
        for block in _read_blocks(path, offsets, length):
            digest.update(block)
    except (OSError, tf.errors.OpError):
        return UNREADABLE
    return digest.digest()


def _read_blocks(path: str | bytes, offsets: Sequence[int], length: int) -> list[bytes]:
    # A bucket has no file descriptor; for files of this machine GFile would read far more than a block.
    remote = "://" in os.fsdecode(path)
    with tf.io.gfile.GFile(path, "rb") if remote else open(path, "rb", buffering=0) as file:
        blocks = []
        for offset in offsets:
            file.seek(offset)
            blocks.append(file.read(length))
        return blocks


def _example(source: Source, index: int) -> bytes:
    """Returns sha256 over one image as it is stored."""
    try:
        image = source.read(tf.constant(index, tf.int64)).numpy()
    except tf.errors.OpError:
        return UNREADABLE
    if isinstance(image, bytes):
        return hashlib.sha256(image).digest()
    return hashlib.sha256(f"{image.shape} {image.dtype.str}".encode() + image.tobytes()).digest()
