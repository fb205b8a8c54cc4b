"""Random access to TFRecord files.

A TFRecord file is a sequence of records: length (8 bytes), checksum of the length (4), data, checksum of the data (4),
all little-endian. One walk over the lengths gives the place of each record, without reading the data. Afterwards a
record is read at its place by TensorFlow's own reader, which verifies both checksums.

Damage costs the records that it hits and no others: data with a wrong checksum fails when it is read; where a length is
damaged, or a file ends inside a record, the index has one record that cannot be read in place of what is lost, and goes
on at the next length whose checksum is right.
"""

import functools
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO, NamedTuple, cast

import numpy as np
import tensorflow as tf

from barlowtf.data.classes import NO_LABEL
from barlowtf.data.content import sampled_content
from barlowtf.data.source import Source
from barlowtf.errors import DataError

# Length and its checksum before the data; checksum of the data behind.
_HEADER_BYTES = 12
_FOOTER_BYTES = 4
# How far the next record is looked for where a length is damaged, and in which pieces.
_SEARCHED_BYTES, _SEARCH_STEP = 2**26, 2**18
# CRC-32C (Castagnoli) polynomial, bits reversed; RFC 3720, appendix B.4. TFRecord rotates and adds a constant.
_POLYNOMIAL = 0x82F63B78
_MASK_DELTA = 0xA282EAD8


class RecordIndex(NamedTuple):
    """Where each record lies. All have the shape [size]."""

    files: tuple[str, ...]  # the shards
    shard: np.ndarray  # int32, position in `files`
    offset: np.ndarray  # int64, of the header, bytes
    length: np.ndarray  # int64, of the data, bytes


class RecordSource(Source):
    """Serialized examples, one per record; images and labels are parsed when they are needed."""

    def __init__(
        self,
        *,
        name: str,
        files: Sequence[str],
        size: int,
        read_record: Callable[[tf.Tensor], tf.Tensor],
        locate: Callable[[int], str],
        image_of: Callable[[tf.Tensor], tf.Tensor],
        label_of: Callable[[tf.Tensor], tf.Tensor] | None,
        class_names: Callable[["RecordSource"], tuple[str, ...] | None],
    ) -> None:
        """Joins the storage and the meaning of the records.

        Args:
            name: Short name for messages.
            files: Paths of the shards; their names, sizes and a sample of their bytes are the fingerprint.
            size: Number of records.
            read_record: int64 [] -> serialized example, string []; runs inside `tf.data`.
            locate: Number of a record -> where it lies, for messages.
            image_of: Serialized example, string [] -> encoded image, string [].
            label_of: Serialized example, string [] -> label, int64 []; None without labels.
            class_names: This source -> name of each label or None; called once, when it is needed.
        """
        sized = [(file, tf.io.gfile.stat(file).length) for file in files]

        def fingerprint() -> str:
            digest = hashlib.sha256()
            for file, length in sized:
                digest.update(os.fsencode(os.path.basename(file)) + b"\0%d\0" % length)
            digest.update(sampled_content(sized))
            return digest.hexdigest()

        super().__init__(name=name, size=size, fingerprint=fingerprint, has_labels=label_of is not None)
        self._read_record, self._locate = read_record, locate
        self._image_of, self._label_of = image_of, label_of
        self._find_class_names = class_names

    @functools.cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """Name of each label, or None; for `tfrecord:` the first call reads all records."""
        return self._find_class_names(self)

    def read(self, index: tf.Tensor) -> tf.Tensor:
        """Returns the encoded image of record `index`, string []."""
        return self._image_of(self._read_record(index))

    def identify(self, index: int) -> str:
        """Returns the file and the place of record `index`."""
        return self._locate(index)

    def parse_readable(self, ids: np.ndarray, parse: Callable[[tf.Tensor], tf.Tensor]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the numbers of the records that can be read and parsed, int64 [m], in order, and the results, [m]."""
        return parse_readable(self._read_record, ids, parse)

    def _read_labels(self, ids: np.ndarray) -> np.ndarray:
        """Returns int64 [n], `NO_LABEL` where a record cannot be read or has none."""
        labels = np.full(len(ids), NO_LABEL, np.int64)
        if not len(ids):
            return labels
        # Each number once: what is left out is told by what is there.
        wanted, places = np.unique(ids, return_inverse=True)
        numbers, values = self.parse_readable(wanted, cast(Callable, self._label_of))
        found = np.full(len(wanted), NO_LABEL, np.int64)
        found[np.searchsorted(wanted, numbers)] = values
        return found[places]


def parse_readable(
    read_record: Callable[[tf.Tensor], tf.Tensor], ids: np.ndarray, parse: Callable[[tf.Tensor], tf.Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns what can be read and parsed.

    Args:
        read_record: int64 [] -> serialized example, string [].
        ids: Numbers of the records, int64 [n].
        parse: Serialized example -> any tensor of one shape.

    Returns:
        Numbers of the records that were parsed, int64 [m], in the order of `ids`, and the results, [m, ...].
    """

    @tf.autograph.experimental.do_not_convert
    def numbered(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return index, parse(read_record(index))

    examples = tf.data.Dataset.from_tensor_slices(ids).map(numbered, num_parallel_calls=tf.data.AUTOTUNE)
    batches = [(numbers.numpy(), values.numpy()) for numbers, values in examples.ignore_errors().batch(1024)]
    if not batches:
        return np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate([numbers for numbers, _ in batches]), np.concatenate([values for _, values in batches])


def index_records(files: Iterable[str]) -> RecordIndex:
    """Returns the place of each record; reads the lengths only and verifies their checksums.

    Each damaged place is one record that cannot be read, in place of all that is lost there.

    Args:
        files: Paths of uncompressed TFRecord files; their order is the order of the records.

    Raises:
        DataError: A file is not a TFRecord file, or there is no record at all.
    """
    files = tuple(files)
    places = [np.array(_walk(file), np.int64).reshape(-1, 2) for file in files]
    offset, length = np.concatenate(places, axis=0).T if places else np.zeros((2, 0), np.int64)
    if not len(offset):
        raise DataError(f"No records in {', '.join(files) or 'no file'}: expected at least one example.")
    shard = np.repeat(np.arange(len(files), dtype=np.int32), [len(place) for place in places])
    return RecordIndex(files, shard, offset, length)


def record_reader(index: RecordIndex) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a function from the number of a record, int64 [], to its data, string [].

    The function runs eagerly and inside `tf.data`, without Python and its lock. A damaged record raises
    `tf.errors.DataLossError`.
    """
    files, shard = tf.constant(index.files), tf.constant(index.shard)
    offset, length = tf.constant(index.offset), tf.constant(index.length)

    def read(number: tf.Tensor) -> tf.Tensor:
        # A data set of one file that starts at the record, cut after one element. `tf.data.TFRecordDataset` is this
        # operation without its offset.
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=tf.gather(files, tf.gather(shard, number))[tf.newaxis],
            compression_type="",
            buffer_size=tf.gather(length, number) + (_HEADER_BYTES + _FOOTER_BYTES),
            byte_offsets=tf.gather(offset, number)[tf.newaxis],
        )
        signature = {"output_types": [tf.string], "output_shapes": [[]]}
        first = tf.raw_ops.TakeDataset(input_dataset=records, count=tf.constant(1, tf.int64), **signature)
        return tf.ensure_shape(tf.raw_ops.DatasetToSingleElement(dataset=first, **signature)[0], [])

    return read


def locate_record(index: RecordIndex, number: int) -> str:
    """Returns the file of a record, its number there from 0, and its byte offset."""
    shard = index.shard[number]
    first = int(np.searchsorted(index.shard, shard))
    return f"{index.files[shard]} record {number - first} (byte {index.offset[number]})"


def masked_crc(words: np.ndarray) -> np.ndarray:
    """Returns TFRecord's checksum of each row of bytes: CRC-32C, rotated right by 15 bits, plus a constant.

    Args:
        words: uint8 [n, bytes].

    Returns:
        uint32 [n].

    Source: RFC 3720, appendix B.4; TensorFlow's record_writer.h for the mask.
    """
    table = _crc_table()
    crc = np.full(len(words), 0xFFFFFFFF, np.uint32)
    for column in words.T:
        crc = table[(crc ^ column) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    return ((crc >> 15) | (crc << 17)) + np.uint32(_MASK_DELTA)


@functools.cache
def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


def _walk(file: str) -> list[tuple[int, int]]:
    """Returns offset and length of each record in a file, and of each damaged place as if it were one."""
    size = tf.io.gfile.stat(file).length
    places: list[tuple[int, int]] = []
    offset, whole = 0, 0
    with _open(file) as stream:
        while offset < size:
            found, offset = _whole_records(stream, offset, size)
            places += found
            whole += len(found)
            if offset == size:
                break
            damaged, length = offset, _length_at(stream, offset)
            offset = size if length is not None else _next_header(stream, offset + 1, size)
            if not whole and length is None and offset == size >= _HEADER_BYTES:
                raise DataError(
                    f"Invalid {file}: no record at byte 0, as the checksum of its length is wrong; "
                    "expected an uncompressed TFRecord file."
                )
            # TensorFlow's reader fails there: a length is damaged, or the file ends inside the record.
            places.append((damaged, length or 0))
    return places


def _whole_records(stream: BinaryIO, offset: int, size: int) -> tuple[list[tuple[int, int]], int]:
    """Returns the records from a byte on whose lengths are right and lie inside the file, and the byte behind them."""
    headers: list[bytes] = []
    places: list[tuple[int, int]] = []
    while offset < size:
        stream.seek(offset)
        header = stream.read(_HEADER_BYTES)
        length = int.from_bytes(header[:8], "little")
        end = offset + _HEADER_BYTES + length + _FOOTER_BYTES
        if len(header) < _HEADER_BYTES or end > size:
            break
        headers.append(header)
        places.append((offset, length))
        offset = end
    # All at once, as it takes long one by one. Behind a wrong length there are no records.
    wrong = np.flatnonzero(~_are_headers(np.frombuffer(b"".join(headers), np.uint8).reshape(-1, _HEADER_BYTES)))
    return (places[: wrong[0]], places[wrong[0]][0]) if len(wrong) else (places, offset)


def _length_at(stream: BinaryIO, offset: int) -> int | None:
    """Returns the length of the record at a byte; None where the checksum of the length is wrong."""
    stream.seek(offset)
    header = np.frombuffer(stream.read(_HEADER_BYTES), np.uint8)
    if len(header) < _HEADER_BYTES or not _are_headers(header[np.newaxis])[0]:
        return None
    return int.from_bytes(header[:8].tobytes(), "little")


def _next_header(stream: BinaryIO, start: int, size: int) -> int:
    """Returns the first byte from `start` on where a record begins that ends inside the file; `size`: there is none.

    Anything else looks like such a length once in four billion bytes.
    """
    for offset in range(start, min(size, start + _SEARCHED_BYTES), _SEARCH_STEP):
        stream.seek(offset)
        content = np.frombuffer(stream.read(_SEARCH_STEP + _HEADER_BYTES - 1), np.uint8)
        if len(content) < _HEADER_BYTES:
            break
        for place in np.flatnonzero(_are_headers(np.lib.stride_tricks.sliding_window_view(content, _HEADER_BYTES))):
            length = int.from_bytes(content[place : place + 8].tobytes(), "little")
            if offset + int(place) + _HEADER_BYTES + length + _FOOTER_BYTES <= size:
                return offset + int(place)
    return size


def _are_headers(words: np.ndarray) -> np.ndarray:
    """Returns which rows, uint8 [n, 12], are a length with its checksum, bool [n]."""
    stored = np.ascontiguousarray(words[:, 8:]).view("<u4")[:, 0]
    return masked_crc(words[:, :8]) == stored


def _open(file: str) -> BinaryIO:
    # TensorFlow's own reader opens object stores too, but reads half a megabyte ahead at each record.
    return tf.io.gfile.GFile(file, "rb") if "://" in file else open(file, "rb")
