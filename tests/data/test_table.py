"""Tables of image files and labels."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from barlowtf.data import open_source
from barlowtf.errors import DataError
from barlowtf.experiment import describe_data


@pytest.fixture
def images(tmp_path):
    """A folder with five images, a.png to e.png, below photos/."""
    (tmp_path / "photos").mkdir()
    for name in "abcde":
        (tmp_path / "photos" / f"{name}.png").write_bytes(tf.io.encode_png(np.zeros((3, 3, 3), np.uint8)).numpy())
    return tmp_path


def table(folder, text, name="labels.csv"):
    (folder / name).write_text(text, encoding="utf-8-sig")
    return f"table:{folder / name}"


def test_files_labels_and_splits(images):
    text = "file,label,split\nphotos/c.png,ant,train\nphotos/a.png,cow,training\nphotos/b.png,bee,val\n"
    spec = table(images, text + "\nphotos/d.png,ant,Test\n")
    train, test = open_source(spec, "train"), open_source(spec, "test")
    assert [train.identify(index).rpartition("/")[2] for index in range(2)] == ["c.png", "a.png"]
    # One numbering for all; val comes before test, as for folders.
    assert train.class_names == test.class_names == ("ant", "bee", "cow")
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 2], [1])
    assert train.read(tf.constant(0)).numpy() == (images / "photos" / "c.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", 'Filename,Class\n"photos/a.png",10\nphotos/b.png,9\n'),
        ("t.csv", "class;path;other\n10;photos/a.png;x,y\n9;photos/b.png;\n"),
        ("t.tsv", "image\ttarget\nphotos/a.png\t10\nphotos/b.png\t9\n"),
        ("t.jsonl", '{"file": "photos/a.png", "label": 10}\n\n{"label": "9", "x": [1], "file": "photos/b.png"}\n'),
    ],
)
def test_forms_of_a_table(images, name, text):
    source = open_source(table(images, text, name), "train")
    # Sorted as the numbers that they are.
    assert (source.class_names, source.labels.tolist()) == (("9", "10"), [1, 0])
    assert source.identify(0) == str(images / "photos" / "a.png")
    assert open_source(table(images, text, name), "test") is None


def test_without_labels_with_some_and_absolute_paths(images, caplog):
    source = open_source(table(images, f"file\n{images / 'photos' / 'a.png'}\nphotos/b.png\n"), "train")
    assert source.labels is None and source.size == 2 and not caplog.records
    source = open_source(table(images, "file,label\nphotos/a.png,ant\nphotos/b.png,\n"), "train")
    assert source.labels.tolist() == [0, -1] and source.size == 2
    assert "1 of 2 rows" in caplog.text and "photos/b.png" in caplog.text


def test_labels_are_part_of_the_fingerprint(images):
    found = {
        open_source(table(images, f"file,label\nphotos/a.png,{first}\nphotos/b.png,{second}\n"), "train").fingerprint
        for first, second in (("ant", "bee"), ("bee", "ant"), ("ant", "cow"))
    }
    assert len(found) == 3


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("t.csv", None, r"Invalid file .*t\.csv: it does not exist"),
        ("t.csv", "", "it has no rows, expected one for each image"),
        ("t.csv", "file,label\n", "it has no rows"),
        ("t.csv", "name,kind\nphotos/a.png,x\n", "received the columns name, kind, expected one of files: file, path"),
        ("t.csv", "file,file\na,b\n", "received file, file, expected each column once"),
        ("t.csv", "file,label\nphotos/a.png\n", "Invalid line 2 of .*: received 1 cells, expected 2: file, label"),
        ("t.csv", "file,label\n,ant\n", "Invalid line 2 of .*: it names no file"),
        ("t.csv", "file,split\nphotos/a.png,north\n", "received 'north', expected train, val, validation, test"),
        ("t.csv", "file,split\nphotos/a.png,test\n", "no row has split train"),
        ("t.csv", "file\nphotos/a.png\nphotos/a.png\n", "it names 1 images twice, photos/a.png"),
        ("t.csv", "file\nphotos/a.png\nphotos/z.png\n", "Missing images in .*: 1 of 2 .*photos/z.png"),
        (
            "t.csv",
            "file\nhttps://x.y/05.png\n",
            "file in line 2 of .*: received 'https://x.y/05.png', .* not from the net",
        ),
        ("t.jsonl", '{"file": "gs://x/05.png"}\n', "file in line 1 of .*: received 'gs://x/05.png', expected a path"),
        (
            "t.csv",
            "# by x\nfile,label\na.png,x\n",
            "received '# by x', expected the names of the columns.* no comments",
        ),
        ("t.csv", "# x, y\nfile,label\na.png,x\n", "received '# x, y', expected the names of the columns"),
        ("t.csv", "Birds\nfile,label\na.png,x\n", "received the columns Birds, expected one of files"),
        (
            "t.jsonl",
            '{"file": "photos/a.png", "label": 1, "label": 2}',
            "line 1 of .* the key 'label' 2 times, expected",
        ),
        ("t.jsonl", '\n{"file": "photos/a.png", "x": {"y": 1, "y": 1}}', "line 2 of .* the key 'y' 2 times"),
        ("t.jsonl", '{"file": "photos/a.png", "label": 1, "Label": 2}', "received label, Label, expected one of them"),
        ("t.jsonl", '{"file": "photos/a.png"\n', "Invalid line 1 of .*expected one JSON object"),
        ("t.jsonl", "[1]\n", r"Invalid line 1 of .*: received \[1\], expected a JSON object"),
        ("t.jsonl", json.dumps({"label": 1}), "received the columns label, expected one of files"),
    ],
)
def test_unusable_tables(images, name, text, message):
    spec = f"table:{images / name}" if text is None else table(images, text, name)
    with pytest.raises(DataError, match=message) as caught:
        open_source(spec, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            b"file\n\xff\xfe\n",
            r"Invalid line 2 of .*t\.csv: received the byte 0xff, expected CSV, TSV or JSON",
        ),
        ("t.csv", "file,label\na.png,né\n".encode("latin-1"), "line 2 of .*: received the byte 0xe9, .* as UTF-8"),
        ("t.csv", "file,label\na.png,x\n".encode("utf-16"), "received UTF-16, expected UTF-8. Save it as UTF-8"),
        ("t.csv", "file,label\na.png,x\n".encode("utf-16-be"), "received UTF-16, expected UTF-8"),
        ("t.jsonl", '{"file": "a.png"}\n'.encode("utf-16-le"), "received UTF-16, expected UTF-8"),
        ("t.csv", b"file\n" + b"photos/a.png\n" * 5000 + b"\xe9.png\n", "Invalid line 5002 of .*: received the byte"),
    ],
)
def test_other_encodings_are_named(images, name, content, message):
    (images / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_source(f"table:{images / name}", "train")
    assert "\n" not in str(caught.value) and "codec" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("t.csv", 'file,label\nphotos/a.png,x\n\nphotos/b.png,"x\nphotos/c.png,y\nphotos/d.png,y\n', 4),
        # Two of them: a cell of two lines.
        ("t.csv", 'file,label\nphotos/a.png,"x\nphotos/b.png,y"\nphotos/c.png,y\n', 2),
        ("t.csv", 'file,label\nphotos/a.png,x\n"photos/b.png,y', 3),
        ("t.csv", '"file,label\nphotos/a.png,x\n', 1),
        ("t.csv", 'file,label\r\nphotos/a.png,"x\r\nphotos/b.png,y\r\n', 2),
        ("t.tsv", 'file\tlabel\nphotos/a.png\t"x\nphotos/b.png\ty\n', 2),
    ],
)
def test_a_stray_quotation_mark_is_named_by_its_line(images, name, text, line):
    with pytest.raises(DataError, match=rf"Invalid line {line} of .*{name}: a quotation mark opens a cell") as caught:
        open_source(table(images, text, name), "train")
    assert "\n" not in str(caught.value)


def test_quoted_cells_hold_separators_and_quotation_marks(images):
    (images / "a,b.png").write_bytes((images / "photos" / "a.png").read_bytes())
    text = 'file,label\n"a,b.png","5"" disk, old"\nphotos/b.png,5" disk\n"photos/c.png",""\n'
    source = open_source(table(images, text), "train")
    assert source.identify(0) == str(images / "a,b.png")
    assert source.class_names == ('5" disk', '5" disk, old') and source.labels.tolist() == [1, 0, -1]


def test_rows_of_other_splits_are_counted(images):
    rows = ("a.png,train", "b.png,test", "c.png,Testing", "d.png,valid", "e.png,test")
    spec = table(images, "file,split\n" + "".join(f"photos/{row}\n" for row in rows))
    train, test = (open_source(spec, split) for split in ("train", "test"))
    assert (train.size, test.identify(0)) == (1, str(images / "photos" / "d.png"))
    note = "Passed over, rows of other splits: test (2 rows), testing (1 row). The test split is valid."
    assert train.notes == test.notes == (note,)
    assert describe_data(spec).notes[0] == note


def test_without_rows_of_other_splits_there_is_no_note(images):
    for text in ("file,split\nphotos/a.png,train\nphotos/b.png,test\n", "file\nphotos/a.png\n"):
        assert open_source(table(images, text), "train").notes == ()


def test_backslashes_in_paths_are_named(images, caplog):
    message = r"Missing images in .*: 2 of 2 .* 1 of these are there by that name: replace \\ by / in the list"
    with pytest.raises(DataError, match=message):
        open_source(table(images, "file\nphotos\\a.png\nphotos\\z.png\n"), "train")
    assert open_source(table(images, "file\nphotos/a.png\nphotos/b.png\nphotos\\c.png\n"), "train").size == 3
    assert "cannot be read. Paths are written with / here" in caplog.text
    # On Linux a name may hold one.
    (images / "photos\\a.png").write_bytes((images / "photos" / "a.png").read_bytes())
    source = open_source(table(images, "file\nphotos\\a.png\n"), "train")
    assert source.identify(0) == str(images / "photos\\a.png")


@pytest.mark.parametrize("kind", ["a pipe", "a device"])
def test_pipes_and_devices_in_a_table_are_never_opened(images, kind):
    os.mkfifo(images / "pipe.png")
    name = {"a pipe": "pipe.png", "a device": "/dev/zero"}[kind]
    text = "file,label\n" + "".join(f"photos/{image}.png,ant\n" for image in "abcde") + f"{name},bee\n"
    with pytest.raises(DataError, match=rf"Invalid image .*{name} in the list .*labels\.csv: it is {kind}, expected"):
        open_source(table(images, text), "train")


@pytest.mark.parametrize(
    ("cells", "names", "numbers"),
    [
        (["0.0", "1.0", "-1.0"], ("0", "1"), [0, 1, -1]),
        (["10.0", "2.0", "NaN"], ("2", "10"), [1, 0, -1]),
        (["-1.0", "1.0", ""], ("-1", "1"), [0, 1, -1]),
        (["0.5", "nan", "-1.0"], ("-1.0", "0.5", "nan"), [1, 2, 0]),
        (["nan", "pita", "roti"], ("nan", "pita", "roti"), [0, 1, 2]),
    ],
)
def test_labels_that_are_written_as_fractions_or_mean_none(images, cells, names, numbers):
    rows = (f"photos/{file}.png,{cell}\n" for file, cell in zip("abc", cells, strict=True))
    source = open_source(table(images, "file,label\n" + "".join(rows)), "train")
    assert source.class_names == names and source.labels.tolist() == numbers


def test_numbers_and_nan_in_json_lines(images):
    def of(*labels):
        rows = zip("abc", labels, strict=True)
        text = "".join(f'{{"file": "photos/{file}.png", "label": {label}}}\n' for file, label in rows)
        return open_source(table(images, text, "labels.jsonl"), "train")

    source = of("NaN", "null", '"x"')
    assert source.class_names == ("x",) and source.labels.tolist() == [-1, -1, 0]
    source = of("-1.0", "0.0", "3")
    assert source.class_names == ("0", "3") and source.labels.tolist() == [-1, 0, 1]


@pytest.mark.parametrize(("cell", "kind"), [("[1, 2]", "list"), ('{"a": 1}', "object")])
def test_several_labels_in_one_cell_are_refused(images, cell, kind):
    text = f'{{"file": "photos/a.png", "label": "x"}}\n{{"file": "photos/b.png", "label": {cell}}}\n'
    with pytest.raises(
        DataError, match=rf"Invalid label in line 2 of .*labels\.jsonl: received a {kind}, expected one"
    ):
        open_source(table(images, text, "labels.jsonl"), "train")


@pytest.mark.parametrize(
    ("name", "second", "message"),
    [
        ("labels.csv", "photos/b.png," + "7" * 5000, "label in line 3 of .*: received a number of 5,000 digits"),
        ("labels.csv", "photos/b\0.png,x", "file in line 3 of .*: received a NUL"),
        (
            "labels.jsonl",
            '{"file": "photos/b.png", "label": ' + "7" * 5000 + "}",
            "line 2 of .*: a number has too many",
        ),
        ("labels.jsonl", "[" * 100_000, "line 2 of .*: too deep"),
        ("labels.jsonl", '{"file": "photos/b\\u0000.png", "label": "x"}', "file in line 2 of .*: received a NUL"),
        ("labels.jsonl", '{"file": "b\\ud800.png", "label": "x"}', "file in line 2 of .*: received a letter that no"),
        ("labels.jsonl", '{"file": "photos/b.png", "label": "\\ud800"}', "label in line 2 of .*: received a letter"),
    ],
)
def test_cells_that_nothing_can_be_called_are_named_by_line(images, name, second, message):
    first = '{"file": "photos/a.png", "label": "x"}' if name.endswith("jsonl") else "file,label\nphotos/a.png,y"
    with pytest.raises(DataError, match=f"Invalid {message}") as caught:
        open_source(table(images, f"{first}\n{second}\n", name), "train")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500


def test_bytes_that_are_no_utf8_may_be_names(images):
    (images / "photos" / "\udcff.png").write_bytes((images / "photos" / "a.png").read_bytes())
    text = '{"file": "photos/\\udcff.png", "label": "\\udcfe"}\n{"file": "photos/a.png", "label": "x"}\n'
    source = open_source(table(images, text, "labels.jsonl"), "train")
    assert source.read(0).numpy() and source.class_names == ("x", "\udcfe") and source.fingerprint
