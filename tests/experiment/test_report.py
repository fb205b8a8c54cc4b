"""The page of a tiny run: what it holds, that it needs nothing else, and what it says of a run that is not whole."""

import base64
import gzip
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import tensorflow as tf
from barlowtf_cli.main import main
from click.testing import CliRunner
from plotly.offline import get_plotlyjs

from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import CheckpointError, ConfigError
from barlowtf.experiment import ReportRequest
from barlowtf.experiment import report as write
from barlowtf.models import make_encoder
from barlowtf.records import write_record, write_result
from tests.result_records import make_data, make_result, make_run_info

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
VOID = {"meta", "link", "img", "br"}


def write_report(runs, out, **options):
    return write(ReportRequest(runs, out, **options))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder as training leaves it, with an encoder that has learned nothing."""
    run = tmp_path_factory.mktemp("runs") / "tiny"
    (run / "results").mkdir(parents=True)
    recipe = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p125", "train.epochs=20"])
    (run / "recipe.toml").write_text(dump_recipe(recipe))
    info = make_run_info(command="<script>", wall_seconds=61.0)
    write_record(run / "run.json", info)
    records = [{"step": 0, "knn_top1": 0.3, "effective_rank": 2.0}]
    records += [{"step": step, "epoch": step / 5, "loss_per_dimension": 1 / step} for step in range(1, 11)]
    records.append({"step": 10, "knn_top1": 0.6, "effective_rank": float("nan")})
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    for label, seed, top1 in (("trained", 0, 0.5), ("trained", 1, 0.7), ("random", 0, 0.125)):
        result = make_result(
            label,
            seed,
            top1,
            changed_settings=("train.epochs = 5 (variant: 20)",),
            data=make_data(class_names=("<b>zero</b>", "one")),
            per_class=(top1, None),
            confusion_matrix=((7, 1), (2, 6)),
            not_comparable="other images",
        )
        write_result(run / "results" / f"semi1-{label}-{seed}.json", result)
    (run / "results" / "plan.json").write_text("[]")  # JSON, and no result
    make_encoder("resnet10_w0p125", image_shape=(8, 8, 1)).save(run / "encoder.keras")
    with tf.summary.create_file_writer(str(run / "tensorboard")).as_default(step=10):
        tf.summary.image("cross_correlation", np.zeros((1, 4, 4, 1), np.uint8))
        tf.summary.image("view_pairs", np.zeros((1, 16, 64, 1), np.uint8))
    return run


@pytest.fixture(scope="module")
def unfinished(finished, tmp_path_factory):
    """The same run, stopped before its end: no encoder, no results, no pictures, nothing measured."""
    run = tmp_path_factory.mktemp("runs") / "stopped"
    run.mkdir()
    shutil.copy(finished / "recipe.toml", run)
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text.replace("epochs = 20", "epochs = 30", 1))
    return run


@pytest.fixture(scope="module")
def page(finished, unfinished, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "report.html"
    summary = write_report([finished, unfinished], out, images=40)
    return summary, out.read_text(encoding="utf-8")


class Structure(HTMLParser):
    """Collects references and ids; fails on a tag that is closed wrongly."""

    def __init__(self):
        super().__init__()
        self.open, self.references, self.ids, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "poster", "data"):
                self.references.append(value)
            if name == "id":
                self.ids.append(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"line {self.getpos()[0]}"

    def handle_data(self, text):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(text)


def read(html):
    structure = Structure()
    structure.feed(html)
    assert not structure.open
    return structure


def test_page_needs_nothing_else(page):
    structure = read(page[1])
    assert len(set(structure.ids)) == len(structure.ids)
    for reference in structure.references:
        assert reference.startswith("data:") or reference.removeprefix("#") in structure.ids, reference[:80]
    own = re.sub(r'<script type="application/gzip" id="plotly">.*?</script>', "", page[1], flags=re.DOTALL)
    assert not re.findall(r"url\((?!data:)|@import|https?://|\bfetch\(|XMLHttpRequest|import\(", own)
    # The charts' library knows addresses, for maps that the page does not have; the browser is told to load nothing.
    assert re.search(r"Content-Security-Policy\" content=\"default-src 'none'; (?!.*(https?:|connect-src))", page[1])


def test_the_library_of_the_charts_is_packed(page):
    (packed,) = re.findall(r'<script type="application/gzip" id="plotly">(.*?)</script>', page[1], flags=re.DOTALL)
    script = gzip.decompress(base64.b64decode(packed, validate=True)).decode()
    assert script == get_plotlyjs() and len(packed) < 0.5 * len(script)


def test_page_shows_what_the_run_holds(page):
    summary, html = page
    assert [(run.status, run.results, run.images) for run in summary.runs] == [
        ("finished", 3, 40),
        ("not started", 0, 0),
    ]
    assert summary.bytes == len(html.encode())
    text = " ".join(" ".join(read(html).text).split())
    for expected in (
        "30.0 % (random encoder) → 60.0 %",
        "10 of 10",
        "1 min 1 s",
        "train.epochs = 5 (variant: 20)",
        "14 labels",
        "Published number not comparable: other images",
        "After step 10",
        "40 images of digits test",
        "Nearest neighbors",
    ):
        assert expected in text, expected
    # Below three seeds the values themselves.
    assert "50.0, 70.0" in text
    assert "plan.json is not a valid Result" in text
    assert re.search(r'class="differs"><th scope="row">train\.epochs.*<td>20</td><td>30</td>', html)
    assert html.count("<use ") == 40 + html.count('class="class"')  # points, and one of each class in the legend


def test_images_of_the_map_go_to_tensorboard(page, finished, unfinished):
    features = np.loadtxt(finished / "tensorboard" / "features.tsv")
    assert len(features) == page[0].runs[0].images == 40
    assert not (unfinished / "tensorboard").exists()


def test_script_data_is_json_without_nan(page):
    content = re.search(r'<script type="application/json" id="data">(.*?)</script>', page[1], re.DOTALL)[1]

    def refuse(name):
        raise AssertionError(name)

    data = json.loads(content, parse_constant=refuse)
    assert data["charts"]["effective_rank"]["data"][0]["y"] == [2.0]
    assert len(data["maps"]["0"]["maps"][0]["points"]) == 40


def test_text_of_others_is_escaped(page):
    assert "<b>zero" not in page[1]
    assert "&lt;b&gt;zero" in page[1] and "<td>&lt;script&gt;</td>" in page[1]


def test_unfinished_run_has_a_page(unfinished, tmp_path):
    summary = write_report([unfinished], tmp_path / "report.html")
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    read(html)
    assert "no encoder.keras" in summary.runs[0].notes[0]
    assert summary.runs[0].notes[0] in html
    assert "No results yet" in html


def test_data_out_of_reach_and_a_damaged_encoder_are_said(finished, unfinished, tmp_path):
    summary = write_report([finished], tmp_path / "report.html", data=str(tmp_path / "missing"))
    (foreign, missing) = summary.runs[0].notes
    assert "plan.json is not a valid Result" in foreign
    assert "No map" in missing and "missing" in missing

    damaged = shutil.copytree(unfinished, tmp_path / "damaged")
    (damaged / "encoder.keras").write_bytes(b"PK no archive")
    (damaged / "results").mkdir()
    (damaged / "results" / "knn-0.json").write_text("{")
    (damaged / "results" / "knn-1.json").write_text('{"protocol": "knn"}')
    notes = write_report([damaged], tmp_path / "report.html").runs[0].notes
    assert [note.partition(" is not")[0].rpartition("/")[2] for note in notes[:2]] == ["knn-0.json", "knn-1.json"]
    assert notes[2].startswith("encoder.keras")


def test_runs_of_one_name_are_told_apart(unfinished, tmp_path):
    other = shutil.copytree(unfinished, tmp_path / unfinished.name)
    summary = write_report([unfinished, other], tmp_path / "report.html")
    assert [run.name for run in summary.runs] == [str(unfinished), str(other)]
    assert "The runs have the same settings" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_images_without_labels_and_without_a_test_split(finished, tmp_path):
    from PIL import Image

    folder = tmp_path / "flat"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.full((12, 10, 3), 60 * number, np.uint8)).save(folder / f"{number}.png")
    out = tmp_path / "report.html"
    summary = write_report([finished], out, data=str(folder))
    html = out.read_text(encoding="utf-8")
    assert summary.runs[0].images == 3
    assert "there is no test split" in html and 'class="class"' not in html
    read(html)


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_text("x"), lambda path: None])
def test_path_that_is_no_run(make, tmp_path):
    make(tmp_path / "other")
    with pytest.raises(CheckpointError, match="is no run folder. Received .* Expected"):
        write_report([tmp_path / "other"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_page_that_cannot_be_written(unfinished, tmp_path):
    with pytest.raises(ConfigError, match="there is no folder"):
        write_report([unfinished], tmp_path / "missing" / "report.html")
    with pytest.raises(ConfigError, match="it is a folder"):
        write_report([unfinished], tmp_path)


def test_command(unfinished, tmp_path):
    out = tmp_path / "report.html"
    done = CliRunner().invoke(main, ["report", str(unfinished), "--out", str(out), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout)["report"] == str(out)
    done = CliRunner().invoke(main, ["report", str(unfinished), "--out", str(out)], catch_exceptions=False)
    assert "not started, 0 results, 0 images" in done.stdout and str(out) in done.stdout
