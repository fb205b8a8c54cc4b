"""Data source `tfrecord`: TFRecord files of `tf.train.Example`, read by a glob; and their writer.

Features: image/encoded (bytes of any image file), and where there are labels image/class/label (int64, < 0 for none)
and image/class/text (bytes, the label's name). Where there is no number, or the label is a text, the texts are the
classes. A record without a label has none; the others keep theirs.
"""

import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from barlowtf.atomic import whole_files
from barlowtf.data.classes import LARGEST_DIGITS, NO_LABEL, is_too_long, number_classes
from barlowtf.data.images import reason_of, reason_of_image
from barlowtf.data.kind import SourceKind
from barlowtf.data.records import RecordSource, index_records, locate_record, parse_readable, record_reader
from barlowtf.data.skipped import SkippedImages
from barlowtf.data.source import Source
from barlowtf.errors import DataError
from barlowtf.regular import require_regular

IMAGE = "image/encoded"
LABEL = "image/class/label"
TEXT = "image/class/text"
# Records that are looked at for the names of the features, where those before are damaged.
_LOOKED_AT = 64
# What replaces "train" in the pattern of the test split; the first that matches a file.
_TEST_WORDS = ("val", "validation", "test")


def tfrecord_source(pattern: str, split: str) -> RecordSource | None:
    """Returns the examples of all files of a glob, files sorted by path.

    The glob is the train split. The test split is the glob with its last "train" replaced by "val", "validation" or
    "test", the first that matches a file.

    Args:
        pattern: Glob, e.g. "data/train-*.tfrecord".
        split: "train" or "test".

    Returns:
        The split, or None when no file matches for test.

    Raises:
        DataError: No file matches the train split, or a file is damaged or holds no images.
    """
    files = _files(pattern) if split == "train" else _test_files(pattern)
    if not files:
        if split == "test":
            return None
        raise DataError(f"No files match {pattern}: expected TFRecord files. Check the glob, and quote it in a shell.")
    index = index_records(files)
    read_record = record_reader(index)
    kinds = _feature_kinds(read_record, files[0], len(index.offset))
    label_of, class_names = _labels_by(pattern, kinds)
    source = RecordSource(
        name=f"{Path(files[0]).name} and {len(files) - 1} more" if len(files) > 1 else Path(files[0]).name,
        files=files,
        size=len(index.offset),
        read_record=read_record,
        locate=lambda number: locate_record(index, number),
        image_of=lambda serialized: _parse(serialized, IMAGE, tf.string),
        label_of=label_of,
        class_names=class_names,
    )
    if kinds.get(LABEL) == "float_list":
        source.notes = (f"{LABEL} holds fractions, which are no classes: no labels.",)
    return source


_LabelOf = Callable[[tf.Tensor], tf.Tensor]
_ClassNames = Callable[[RecordSource], tuple[str, ...] | None]


def _labels_by(pattern: str, kinds: dict[str, str]) -> tuple[_LabelOf | None, _ClassNames]:
    """Returns what makes the label of a serialized example, and the names of the classes of a data set."""
    kind, has_texts = kinds.get(LABEL), kinds.get(TEXT) == "bytes_list"
    if kind == "int64_list":
        return (lambda serialized: _parse(serialized, LABEL, tf.int64)), _class_names if has_texts else lambda _: None
    if kind == "bytes_list" or (kind is None and has_texts):
        return _labels_by_text(pattern, LABEL if kind == "bytes_list" else TEXT)
    return None, lambda _: None


def _labels_by_text(pattern: str, feature: str) -> tuple[_LabelOf | None, _ClassNames]:
    """Returns the same where labels are texts: one numbering for the records of both splits, all of which are read."""
    texts: set[bytes] = set()
    for files in (_files(pattern), _test_files(pattern)):
        if files:
            index = index_records(files)
            ids = np.arange(len(index.offset))
            numbers, found = parse_readable(
                record_reader(index), ids, lambda example: _parse(example, feature, tf.string)
            )
            for place, text in enumerate(found.tolist()):
                if text not in texts and is_too_long(text.decode("utf-8", "replace")):
                    raise DataError(
                        f"Invalid label of {locate_record(index, int(numbers[place]))}: received a number of "
                        f"{len(text):,} digits, expected at most {LARGEST_DIGITS:,}."
                    )
                texts.add(text)
    names, number = number_classes(text.decode("utf-8", "replace") for text in texts)
    if not names:
        return None, lambda _: None
    pairs = [(text, number[text.decode("utf-8", "replace")]) for text in sorted(texts)]
    initializer = tf.lookup.KeyValueTensorInitializer(
        [text for text, _ in pairs], [value for _, value in pairs], tf.string, tf.int64
    )
    table = tf.lookup.StaticHashTable(initializer, NO_LABEL)
    return (lambda serialized: table.lookup(_parse(serialized, feature, tf.string))), lambda _: names


def write_tfrecords(
    source: Source, prefix: str | Path, shards: int, *, skipped: SkippedImages | None = None
) -> list[Path]:
    """Writes a data set as TFRecord files; all of them appear at the end, or none.

    Args:
        source: What to write. Encoded images are copied as they are, decoded ones become PNG, or .npy where PNG cannot
            hold them.
        prefix: Path of the files without "-00000-of-00004.tfrecord".
        shards: Number of files, in [1, source.size]; their sizes differ by one example at most.
        skipped: Receives examples that cannot be read, which are left out; None: such an example is an error.

    Returns:
        The paths, in order.

    Raises:
        ValueError: `shards` is out of range.
        DataError: One of the files exists, or others of the prefix in another number, or they cannot be written, or too
            many examples cannot be read.
    """
    skipped = SkippedImages(0, setting="--max-unreadable") if skipped is None else skipped
    if not 1 <= shards <= source.size:
        raise ValueError(f"Invalid shards: received {shards}, expected 1 to {source.size}, the number of examples.")
    paths = [Path(f"{prefix}-{shard:05d}-of-{shards:05d}.tfrecord") for shard in range(shards)]
    existing = next((path for path in paths if path.exists()), None)
    if existing is not None:
        raise _exists(existing)
    _require_no_other_number(paths[0], shards)
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    try:
        with whole_files(paths, overwrite=False) as unfinished:
            for path, ids in zip(unfinished, np.array_split(np.arange(source.size), shards), strict=True):
                with tf.io.TFRecordWriter(str(path)) as writer:
                    for example in _examples(source, ids, skipped):
                        writer.write(example.SerializeToString())
    except FileExistsError as error:
        raise _exists(error.filename) from error
    except OSError as error:
        raise DataError(f"Cannot write {paths[0]}: {error.strerror}.") from error
    except tf.errors.OpError as error:
        raise DataError(f"Cannot write {paths[0]}: {reason_of(error)}.") from error
    return paths


def _exists(path: str | Path) -> DataError:
    return DataError(f"{path} exists and is not overwritten. Move it away, or choose another prefix.")


def _require_no_other_number(path: Path, shards: int) -> None:
    """Raises DataError where files of the same prefix exist in another number: a glob would read both data sets."""
    before, folder = path.name.removesuffix(f"-00000-of-{shards:05d}.tfrecord"), path.parent
    pattern = re.compile(rf"{re.escape(before)}-\d{{5,}}-of-(\d{{5,}})\.tfrecord", re.ASCII)
    names = sorted(os.listdir(folder)) if folder.is_dir() else []
    for name, found in ((name, pattern.fullmatch(name)) for name in names):
        if found is not None and int(found[1]) != shards:
            raise DataError(
                f"{folder / name} exists, one of {int(found[1])} files of this prefix: received {shards} shards, and "
                "all of these files would be read as one data set. Choose another --out, or remove the others."
            )


def _files(pattern: str) -> list[str]:
    files = sorted(tf.io.gfile.glob(os.path.expanduser(pattern)))
    try:
        for file in files:
            if "://" not in file:
                require_regular(file)
    except OSError as error:
        raise DataError(f"Cannot read {error.filename}: {error.strerror}.") from error
    return files


def _test_files(pattern: str) -> list[str]:
    before, train, after = pattern.rpartition("train")
    candidates = [_files(f"{before}{word}{after}") for word in _TEST_WORDS] if train else []
    return next((files for files in candidates if files), [])


def _feature_kinds(read_record: Callable[[tf.Tensor], tf.Tensor], file: str, size: int) -> dict[str, str]:
    """Returns the features of the first few records, and in which list of `tf.train.Feature` their values lie."""
    kinds: dict[str, str] = {}
    seen, reason = None, ""
    for number in range(min(size, _LOOKED_AT)):
        try:
            example = tf.train.Example.FromString(read_record(tf.constant(number, tf.int64)).numpy())
        except (tf.errors.OpError, DecodeError) as error:
            reason = reason or reason_of_image(error)
            continue
        # A message of another kind can parse by accident; then it has no features.
        features = example.features.feature
        seen = seen or set(features)
        for name in features:
            kind = features[name].WhichOneof("kind")
            # A value may be missing in some records: an empty list says nothing.
            if kind is not None and len(getattr(features[name], kind).value):
                kinds.setdefault(name, kind)
    if IMAGE in kinds:
        return kinds
    if seen is None:
        raise DataError(f"Cannot read the first records of {file} as tf.train.Example: {reason.rstrip('.')}.")
    raise DataError(f"No images in {file}: received features {sorted(seen)}, expected {IMAGE}, and {LABEL} for labels.")


def _parse(serialized: tf.Tensor, name: str, dtype: tf.DType) -> tf.Tensor:
    return tf.io.parse_single_example(serialized, {name: tf.io.FixedLenFeature([], dtype)})[name]


def _class_names(source: RecordSource) -> tuple[str, ...]:
    """Returns the text of each label up to the largest; "" for a label without an example."""
    numbers, texts = source.parse_readable(
        np.arange(source.size), lambda serialized: _parse(serialized, TEXT, tf.string)
    )
    labels, first = np.unique(cast(np.ndarray, source.labels)[numbers], return_index=True)
    named = {int(label): texts[index].decode("utf-8", "replace") for label, index in zip(labels, first, strict=True)}
    return tuple(named.get(label, "") for label in range(max(named, default=-1) + 1))


def _examples(source: Source, ids: np.ndarray, skipped: SkippedImages) -> Iterator[tf.train.Example]:
    """Yields the examples of a shard."""
    labels = source.labels_of(ids) if source.has_labels else None
    class_names = source.class_names
    for place, number in enumerate(ids):
        try:
            image = source.read(tf.constant(number, tf.int64))
        except (tf.errors.OpError, OSError, ValueError) as error:
            skipped.skip(source, int(number), reason_of_image(error))
            continue
        features = {IMAGE: _bytes(image.numpy() if image.dtype == tf.string else _encoded(image.numpy()))}
        if labels is not None:
            features[LABEL] = tf.train.Feature(int64_list=tf.train.Int64List(value=[labels[place]]))
            if class_names is not None and 0 <= labels[place] < len(class_names):
                features[TEXT] = _bytes(class_names[labels[place]].encode("utf-8", "surrogateescape"))
        yield tf.train.Example(features=tf.train.Features(feature=features))


def _encoded(pixels: np.ndarray) -> bytes:
    """Returns decoded pixels as a file that loses nothing: PNG where it can hold them, else .npy."""
    if pixels.dtype.kind == "u" and pixels.shape[-1] <= 4:
        return tf.io.encode_png(pixels).numpy()
    content = io.BytesIO()
    np.save(content, pixels)
    return content.getvalue()


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


TFRECORD = SourceKind(prefix="tfrecord:", open=tfrecord_source)
