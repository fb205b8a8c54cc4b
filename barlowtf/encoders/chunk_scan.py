"""What the chunks of an HDF5 dataset would take in memory, looked at before HDF5 reads them.

HDF5 holds a chunk whole while it reads any value of it, and takes what its filters give, whatever the chunk's shape.
"""

import math
import zlib

import h5py

_FREE_BYTES = 2**20
_DEFLATE = h5py.h5z.FILTER_DEFLATE
# They keep the size, but for a checksum of 4 bytes.
_KEEPING_SIZE = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)


def find_chunk_fault(dataset: h5py.Dataset) -> str | None:
    """Returns why a dataset would take more memory than its values while it is read; None where it would not.

    Args:
        dataset: A dataset in one file, whose declared size has been checked.
    """
    if dataset.chunks is None:
        return None
    declared, chunk = dataset.size * dataset.dtype.itemsize, math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk > declared + _FREE_BYTES:
        return f"declares {declared:,} bytes in chunks of {chunk:,} bytes"
    settings = dataset.id.get_create_plist()
    filters = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
    if any(code not in (_DEFLATE, *_KEEPING_SIZE) for code in filters) or filters.count(_DEFLATE) > 1:
        return "is compressed by other means than gzip once, expected none"
    if _DEFLATE not in filters:
        return None
    skipped = 1 << filters.index(_DEFLATE)
    if not all(_inflates_to(dataset, number, chunk, skipped) for number in range(dataset.id.get_num_chunks())):
        return f"has a chunk that is damaged, or would take more than its {chunk:,} bytes"
    return None


def _inflates_to(dataset: h5py.Dataset, number: int, size: int, skipped: int) -> bool:
    """Returns whether a stored chunk gives at most so many bytes, which is found without making more.

    Args:
        dataset: Has chunks that are compressed.
        number: Number of the chunk.
        size: Bytes of a chunk.
        skipped: Bit of the chunk's mask that says that it is stored as it is.
    """
    mask, content = dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)
    if mask & skipped:
        return True
    try:
        # A checksum may come before the compression.
        return len(zlib.decompressobj().decompress(content, size + 5)) <= size + 4
    except zlib.error:
        return False
