"""The reader and the writer of records."""

import pytest

from barlowtf.errors import CheckpointError
from barlowtf.records import RunData, append_line, read_lines, read_record, write_record

DATA = RunData(source="digits", images=3, fingerprint="ab")


def test_a_record_reads_back_equal_with_one_key_a_line(tmp_path):
    path = tmp_path / "data.json"
    write_record(path, DATA)
    assert read_record(path, RunData) == DATA
    assert path.read_text().splitlines()[1] == '  "source": "digits",'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"source": 3, "images": 3, "fingerprint": "a"}', r"source: .* string, received '3'\. Restore it\.$"),
        ('{"source": 3, "images": "3", "fingerprint": "a"}', r"valid string, received '3' \(and 1 more\)"),
        ('{"source": "a", "images": 3}', "fingerprint: field required"),
        ('{"source": "a", "images": 3, "fingerprint": "b", "other": 1}', "other: extra inputs"),
        ('{"source": "a", "images": "3", "fingerprint": "b"}', "images: input should be a valid integer"),
        ('{"source": "a", ', "invalid JSON"),
        ("[]", "should be an object"),
        (b"\xff\xfe", "not UTF-8 text"),
        (None, "No such file"),
    ],
)
def test_a_damaged_or_foreign_file_names_file_and_field(tmp_path, content, message):
    path = tmp_path / "data.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=message) as caught:
        read_record(path, RunData)
    assert str(path) in str(caught.value)


def test_lines(tmp_path):
    path = tmp_path / "lines"
    assert read_lines(path) == []
    append_line(path, {"a": 1})
    with open(path, "a") as file:
        file.write('{"a": ')
    assert read_lines(path) == [{"a": 1}]
    path.write_text('{"a": 1}\n{"a": \n{"a": 2}\n')
    with pytest.raises(CheckpointError, match="line 2"):
        read_lines(path)
