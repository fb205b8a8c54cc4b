"""A user's own protocol in a folder outside the package: the example of docs/extending.md, measured and shown."""

import pytest
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf import experiment
from barlowtf.config import dump_recipe, load_recipe
from barlowtf.errors import ConfigError
from barlowtf.evaluation import results_table
from barlowtf.models import make_encoder
from barlowtf.records import read_results
from tests.examples import example

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EXAMPLE = example("my_protocol.py")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The user's folder: a run and the protocol."""
    recipe = load_recipe("digits", ["augment.size=8", "model.encoder=resnet10_w0p0625", "data.channels=1"])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text(dump_recipe(recipe))
    make_encoder("resnet10_w0p0625", image_shape=(8, 8, 1), seed=5).save(tmp_path / "run" / "encoder.keras")
    (tmp_path / "my_protocol.py").write_text(EXAMPLE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_command_measures_by_an_own_protocol(folder):
    words = ["evaluate", "--protocol", "my_protocol.py:CENTROID", "--protocol", "knn", "--encoder", "run"]
    done = CliRunner().invoke(main, [*words, "--set", "centroid.cosine=true"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines() if "centroid" in line]
    assert [row[:4] for row in rows] == [
        ["centroid (plain) *", "digits", "1,437", "top-1"],
        ["centroid (plain) *", "digits", "1,437", "spread of the class means"],
    ]
    results, faults = read_results(folder / "run" / "results")
    assert not faults
    by_name = {result.protocol: result for result in results}
    # Chance is 0.1, and the encoder is untrained.
    assert by_name["centroid"].scores["top1"] > 0.13
    assert by_name["centroid"].changed_settings == ("cosine = True (variant: False)",)
    # Read from disk the result prints as its protocol declared, without the protocol.
    assert "spread of the class means" in results_table(results)


def test_variant_and_settings_of_an_own_protocol(folder):
    def request(**options):
        return experiment.EvaluateRequest(("my_protocol.py:CENTROID",), ("run",), "digits", **options)

    (result,) = experiment.evaluate(request(variant="cosine"))
    assert (result.variant, result.settings) == ("cosine", {"cosine": True})
    with pytest.raises(ConfigError, match="Unknown setting 'cosinus'. Did you mean 'cosine'"):
        experiment.evaluate(request(overrides=("centroid.cosinus=true",)))
