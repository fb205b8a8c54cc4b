"""What a command writes never takes the place of somebody else's file."""

import errno
from unittest import mock

import pytest

from barlowtf.errors import ConfigError
from barlowtf.experiment.output_files import require_own, require_page, require_place
from barlowtf.records import ReportSummary, write_record


def test_folders_and_files_without_a_folder(tmp_path):
    require_place(tmp_path / "new.csv", "rows.csv")
    with pytest.raises(ConfigError, match=r"it is a folder\. Expected a file, e\.g\. --out .*rows\.csv"):
        require_place(tmp_path, "rows.csv")
    with pytest.raises(ConfigError, match="there is no folder .*nowhere"):
        require_place(tmp_path / "nowhere" / "new.csv", "rows.csv")
    assert list(tmp_path.iterdir()) == []
    # Root may write anywhere but on such a disk.
    failing = mock.patch("tempfile.TemporaryFile", side_effect=OSError(errno.EROFS, "Read-only file system"))
    with failing, pytest.raises(ConfigError, match=r"new\.csv: Read-only file system\. Choose another --out\.$"):
        require_place(tmp_path / "new.csv", "rows.csv")


@pytest.mark.parametrize("name", ["run.json", "encoder.keras", "photo.jpg", "part-00000.parquet", "page"])
def test_a_page_takes_the_place_of_nothing_but_a_page(tmp_path, name):
    with pytest.raises(ConfigError, match=r"its name does not end in \.html\. For example --out sheet\.html"):
        require_page(tmp_path / name, "sheet.html")
    for page in ("report.html", "report.HTM"):
        (tmp_path / page).write_text("an earlier page")
        require_page(tmp_path / page, "sheet.html")


def test_a_file_without_its_record_stays(tmp_path):
    out, record = tmp_path / "rows.csv", tmp_path / "rows.csv.json"
    require_own(out, record, ReportSummary)
    out.write_text("labels")
    with pytest.raises(ConfigError, match=r"rows\.csv is there and was not written by this command"):
        require_own(out, record, ReportSummary)
    write_record(record, ReportSummary(report="", bytes=1, runs=()))
    require_own(out, record, ReportSummary)
    out.unlink()
    record.write_text("{}")
    with pytest.raises(ConfigError, match=r"rows\.csv\.json is there and was not written by this command"):
        require_own(out, record, ReportSummary)
