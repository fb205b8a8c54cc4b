"""A user's own format, in a file outside the package: the whole of it is below, as the documentation shows it."""

import json

import numpy as np
import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.models import make_encoder
from tests.examples import example

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.slow,
]

MY_FORMAT = example("my_format.py")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of its own, with an encoder."""
    monkeypatch.chdir(tmp_path)
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 3), seed=9).save("encoder.keras")
    return tmp_path


def export(source, *words):
    (place := source / "my_format.py").write_text(words[0])
    command = ["export", "--encoder", "encoder.keras", "--images", "8", "--format", f"{place.name}:FORMAT"]
    return CliRunner().invoke(main, [*command, *words[1:]])


def test_it_is_written_compared_and_numbered(place):
    result = export(place, MY_FORMAT, "--out", "mine", "--json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["format"] == "my_format.py:FORMAT"
    figures = record["files"]["weights.npz"]
    assert figures["largest_difference"]["features"] <= 1e-5 * figures["largest_value"]["features"]
    assert figures["milliseconds"] is None
    assert (place / "mine" / "mine-FORMAT-1.json").exists()
    assert export(place, MY_FORMAT, "--out", "mine").exit_code == 0
    assert np.load(place / "mine" / "2" / "weights.npz")
    other = CliRunner().invoke(
        main, ["export", "--encoder", "encoder.keras", "--out", "mine", "--format", "keras", "--images", "8"]
    )
    assert "mine/1 is an export to something else, expected keras" in other.output


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("np.load(path)", "np.load(where)", "a fresh process: NameError: name 'where' is not defined"),
        ('{"features": network', '{"feature": network', "weights.npz gives feature, expected also features"),
        (" / 255)}", " / 200)}", "weights.npz differs from its source by"),
        ("    import keras\n", "    import barlowtf, keras\n", "a fresh process: "),
        ("def read(", "def read_it(", "NameError: name 'read' is not defined."),
    ],
)
def test_a_mistake_in_it_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, place, old, new, message):
    assert old in MY_FORMAT
    # Files of the same name in different folders are different modules.
    result = export(place, MY_FORMAT.replace(old, new), "--out", "mine")
    assert (result.exit_code, "Traceback" in result.output) == (1, False)
    assert message in result.output
    assert not (place / "mine").exists()


def test_a_name_that_is_none(place):
    result = CliRunner().invoke(main, ["export", "--encoder", "encoder.keras", "--format", "tensorrt"])
    assert result.exit_code == 2
    assert (
        "expected one of saved-model, tflite, keras, onnx, torch, hub, keras-hub, or FILE.py:NAME of your own"
        in result.output
    )
