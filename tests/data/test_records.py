"""TFRecord files: index, reading by number, damage, writing."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import (
    ArraySource,
    SkippedImages,
    TrainingBatches,
    open_source,
    readable_views,
    reason_of,
    write_tfrecords,
)
from barlowtf.data.records import index_records, locate_record, masked_crc, record_reader
from barlowtf.errors import DataError
from barlowtf.records import read_lines

RECORDS = [b"one", b"", b"x" * 5000, b"last"]


@pytest.fixture
def two_files(tmp_path):
    files = [str(tmp_path / "a.tfrecord"), str(tmp_path / "b.tfrecord")]
    for file, records in zip(files, (RECORDS[:3], RECORDS[3:]), strict=True):
        with tf.io.TFRecordWriter(file) as writer:
            for record in records:
                writer.write(record)
    return files


def test_checksum_known_answer():
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8A9136AA; TFRecord's mask of it by hand.
    crc = 0x8A9136AA
    expected = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    assert masked_crc(np.zeros((1, 32), np.uint8))[0] == expected


def test_records_by_number_in_any_order(two_files):
    index = index_records(two_files)
    np.testing.assert_array_equal(index.length, [3, 0, 5000, 4])
    np.testing.assert_array_equal(index.offset, [0, 19, 35, 0])
    np.testing.assert_array_equal(index.shard, [0, 0, 0, 1])
    read = record_reader(index)
    order = [3, 0, 2, 1, 2]
    received = tf.data.Dataset.from_tensor_slices(np.array(order, np.int64)).map(read, num_parallel_calls=2)
    assert [record.numpy() for record in received] == [RECORDS[number] for number in order]
    assert read(tf.constant(3, tf.int64)).numpy() == b"last"
    assert locate_record(index, 2) == f"{two_files[0]} record 2 (byte 35)"
    assert locate_record(index, 3) == f"{two_files[1]} record 0 (byte 0)"


def readable(files):
    """Numbers and contents of the records that can be read, and why the others cannot."""
    index = index_records(files)
    read, found, lost = record_reader(index), {}, {}
    for number in range(len(index.offset)):
        try:
            found[number] = read(tf.constant(number, tf.int64)).numpy()
        except tf.errors.OpError as error:
            lost[number] = reason_of(error)
    return found, lost


@pytest.mark.parametrize("cut", [1, 4, 5003, 5005, 5015])
def test_a_file_that_ends_inside_a_record_loses_that_record(two_files, cut):
    with open(two_files[0], "r+b") as file:
        file.truncate(35 + 5016 - cut)
    found, lost = readable(two_files)
    assert found == {0: b"one", 1: b"", 3: b"last"}
    assert list(lost) == [2] and "{{" not in lost[2]
    assert locate_record(index_records(two_files), 2) == f"{two_files[0]} record 2 (byte 35)"


@pytest.mark.parametrize("byte", [0, 3, 7, 8, 11])
def test_a_damaged_length_costs_one_record(two_files, byte):
    data = bytearray(Path(two_files[0]).read_bytes())
    data[19 + byte] ^= 0x55
    Path(two_files[0]).write_bytes(data)
    found, lost = readable(two_files)
    assert found == {0: b"one", 2: RECORDS[2], 3: b"last"} and list(lost) == [1]


def test_a_file_that_shrinks_after_it_was_opened(two_files):
    read = record_reader(index_records(two_files))
    with open(two_files[0], "r+b") as file:
        file.truncate(30)
    assert read(tf.constant(0, tf.int64)).numpy() == b"one"
    for number in (1, 2):
        with pytest.raises(tf.errors.OpError):
            read(tf.constant(number, tf.int64))


def test_other_files(two_files, tmp_path):
    other = tmp_path / "c.tfrecord"
    other.write_bytes(b"no records in here, only text that goes on")
    with pytest.raises(DataError, match=r"Invalid .*c\.tfrecord: no record at byte 0.*expected an uncompressed"):
        index_records([str(other)])
    other.write_bytes(b"")
    with pytest.raises(DataError, match="No records in"):
        index_records([str(other)])


def test_lost_records_take_neither_labels_nor_places_from_others(small, tmp_path, make_plan):
    (path,) = write_tfrecords(small, tmp_path / "train", shards=1)
    examples = [tf.train.Example.FromString(raw.numpy()) for raw in tf.data.TFRecordDataset(str(path))]
    del examples[0].features.feature["image/encoded"]
    examples[2].features.feature["image/encoded"].bytes_list.value[0] = b"no image"
    del examples[3].features.feature["image/class/label"]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            writer.write(example.SerializeToString())
    data = bytearray(path.read_bytes())
    offset = int(index_records([str(path)]).offset[5])
    data[offset + 40] ^= 0xFF
    path.write_bytes(data)
    source, skipped = open_source(f"tfrecord:{path}", "train"), SkippedImages(file=tmp_path / "skipped.jsonl")
    assert source.size == 7 and source.class_names == ("x", "", "z")
    np.testing.assert_array_equal(source.labels, [2, 0, 0, -1, 2, -1, 0])
    views = readable_views(source, np.arange(7), size=4, channels=3, batch_size=3, skipped=skipped)
    assert np.concatenate([numbers for numbers, _ in views]).tolist() == [1, 3, 4, 6]
    lines = read_lines(tmp_path / "skipped.jsonl")
    assert [line["image"].partition(" (byte")[0] for line in lines] == [f"{path} record {n}" for n in (0, 2, 5)]
    assert all("{{" not in line["reason"] and "[Op:" not in line["reason"] for line in lines)
    assert len(list(TrainingBatches(source, make_plan(), skipped=skipped))) == 10 and len(skipped) == 3
    packed = write_tfrecords(source, tmp_path / "again", shards=2, skipped=SkippedImages())
    assert open_source(f"tfrecord:{tmp_path}/again-*", "train").size == 5 and len(packed) == 2


def test_damaged_data_fails_when_it_is_read(two_files):
    with open(two_files[0], "r+b") as file:
        file.seek(35 + 12 + 100)
        file.write(b"y")
    read = record_reader(index_records(two_files))
    assert read(tf.constant(0, tf.int64)).numpy() == b"one"
    with pytest.raises(tf.errors.DataLossError):
        read(tf.constant(2, tf.int64))


@pytest.fixture
def small():
    images = np.arange(7 * 4 * 5 * 3, dtype=np.uint8).reshape(7, 4, 5, 3)
    return ArraySource("small", images, np.array([2, 0, 0, 1, 2, 1, 0]), ("x", "y", "z"))


def test_written_records_read_back(small, tmp_path):
    paths = write_tfrecords(small, tmp_path / "new" / "train", shards=3)
    assert [path.name for path in paths] == [f"train-0000{i}-of-00003.tfrecord" for i in range(3)]
    assert sorted((tmp_path / "new").iterdir()) == paths
    source = open_source(f"tfrecord:{tmp_path}/new/train-*", "train")
    assert source.size == 7 and source.class_names == ("x", "y", "z")
    np.testing.assert_array_equal(source.labels, small.labels)
    np.testing.assert_array_equal(source.labels_of(np.array([4, 3])), [2, 1])
    assert source.labels_of(np.array([], int)).shape == (0,)
    for index in range(7):
        image = tf.io.decode_png(source.read(tf.constant(index, tf.int64)))
        np.testing.assert_array_equal(image, small.read(index))
    assert source.identify(3).startswith(f"{paths[1]} record 0 (byte 0)")
    copy = write_tfrecords(source, tmp_path / "copy", shards=1)
    again = open_source(f"tfrecord:{copy[0]}", "train")
    assert again.read(tf.constant(6, tf.int64)) == source.read(tf.constant(6, tf.int64))
    assert again.fingerprint != source.fingerprint


def test_test_split_is_the_sibling(small, tmp_path):
    write_tfrecords(small, tmp_path / "train", shards=1)
    assert open_source(f"tfrecord:{tmp_path}/train-*", "test") is None
    write_tfrecords(small, tmp_path / "validation", shards=2)
    assert open_source(f"tfrecord:{tmp_path}/train-*", "test").size == 7
    assert open_source(f"tfrecord:{tmp_path}/validation-*", "test") is None


def test_writer_refuses_files_of_the_prefix_in_another_number(small, tmp_path):
    there = write_tfrecords(small, tmp_path / "train", shards=4)
    with pytest.raises(
        DataError, match=r"train-00000-of-00004\.tfrecord exists, one of 4 files .*another --out"
    ) as caught:
        write_tfrecords(small, tmp_path / "train", shards=2)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert sorted(tmp_path.iterdir()) == there
    # A file in no such form, and those of a longer prefix, are others' business.
    (tmp_path / "train-of-00004.tfrecord").touch()
    write_tfrecords(small, tmp_path / "tra", shards=2)
    write_tfrecords(small, tmp_path / "train-00000", shards=2)


def test_records_without_labels(tmp_path):
    source = ArraySource("plain", np.zeros((2, 3, 3, 1), np.uint8))
    write_tfrecords(source, tmp_path / "a", shards=1)
    read = open_source(f"tfrecord:{tmp_path}/a-*", "train")
    assert read.labels is None and read.class_names is None


def test_writer_overwrites_nothing_and_leaves_nothing_behind(small, tmp_path):
    taken = tmp_path / "train-00001-of-00002.tfrecord"
    taken.write_bytes(b"mine")
    with pytest.raises(DataError, match="train-00001-of-00002.tfrecord exists and is not overwritten"):
        write_tfrecords(small, tmp_path / "train", shards=2)
    assert list(tmp_path.iterdir()) == [taken] and taken.read_bytes() == b"mine"

    class Broken(ArraySource):
        def read(self, index):
            if int(index) == 1:
                raise tf.errors.NotFoundError(None, None, "gone")
            return super().read(index)

    with pytest.raises(DataError, match=r"received 1, expected at most 0. The last is broken image 1 \(gone\)"):
        write_tfrecords(Broken("broken", np.zeros((2, 3, 3, 1), np.uint8)), tmp_path / "b", shards=2)
    assert list(tmp_path.iterdir()) == [taken]
    with pytest.raises(ValueError, match="Invalid shards: received 8, expected 1 to 7"):
        write_tfrecords(small, tmp_path / "c", shards=8)


def test_unusable_globs(tmp_path, two_files):
    with pytest.raises(DataError, match=r"No files match .*nothing-\*"):
        open_source(f"tfrecord:{tmp_path}/nothing-*", "train")
    with pytest.raises(DataError, match="Cannot read the first records of .*a.tfrecord as|No images in .*a.tf"):
        open_source(f"tfrecord:{tmp_path}/a.tfrecord", "train")
    with tf.io.TFRecordWriter(str(tmp_path / "labels")) as writer:
        label = tf.train.Feature(int64_list=tf.train.Int64List(value=[1]))
        example = tf.train.Example(features=tf.train.Features(feature={"label": label}))
        writer.write(example.SerializeToString())
    with pytest.raises(DataError, match=r"No images in .*labels: received features \['label'\]"):
        open_source(f"tfrecord:{tmp_path}/labels", "train")


def test_a_label_of_too_many_digits_is_named_by_its_record(tmp_path):
    texts = (b"1", b"7" * 5000)
    features = [
        {
            key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
            for key, value in (("image/encoded", b"x"), ("image/class/label", text))
        }
        for text in texts
    ]
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord")) as writer:
        for feature in features:
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    with pytest.raises(DataError, match=r"Invalid label of .*x\.tfrecord record 1 \(byte \d+\): .* 5,000 digits"):
        open_source(f"tfrecord:{tmp_path}/x.tfrecord", "train")


def test_class_folders_whose_names_are_no_utf8_are_written(tmp_path):
    image = tf.io.encode_png(np.zeros((2, 2, 1), np.uint8)).numpy()
    for name in ("ok", "tr\udcff"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "1.png").write_bytes(image)
    write_tfrecords(open_source(str(tmp_path / "photos"), "train"), tmp_path / "train", shards=1)
    packed = open_source(f"tfrecord:{tmp_path}/train-*", "train")
    assert packed.class_names == ("ok", "tr\ufffd") and packed.labels.tolist() == [0, 1]
