"""The examples run and use public names; the notebooks are those that the scripts give."""

import ast
import importlib.util
import json
import re
import runpy
import shlex
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from barlowtf_cli.main import main
from click.testing import CliRunner

from barlowtf.losses import ViewEmbeddings
from tests.test_docs import anchors

FOLDER = Path(__file__).parents[1] / "docs" / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))
PUBLIC = json.loads(Path(__file__).with_name("api.json").read_text())["exports"]
# Example -> whether the names that it leaves hold what it promises. Guessing is right for a tenth of the digits.
PROMISES = {
    "encoder_in_keras": lambda names: names["features"].shape == (1797, 128) and names["accuracy"] > 0.8,
    "fit_your_pipeline": lambda names: names["accuracy"]() > names["before"] > 0.1,
    "your_encoder": lambda names: names["encoder"].width == 128 and names["info"].result.knn_top1 > 0.8,
    "your_loss": lambda names: names["history"]["loss"][-1] < names["history"]["loss"][0],
    "image_search": lambda names: len(names["query"].matches) == 5 and names["same"].mean() > 0.6,
    "serving": lambda names: np.mean(names["labels"] == names["digits"].target[names["is_test"]]) > 0.8,
    "continue_training": lambda names: (
        names["started"].result.knn_top1_before == names["extended"].result.knn_top1_before
        and names["extended"].parent.step == names["first"].steps.total
    ),
}


def _load_generator():
    specification = importlib.util.spec_from_file_location("notebooks", FOLDER.with_name("notebooks.py"))
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


NOTEBOOKS = _load_generator()


def cells(script, kind):
    return [text for each, text in NOTEBOOKS.cells_of(script.read_text()) if each == kind]


def test_every_example_is_run_and_listed():
    page = (FOLDER / "README.md").read_text()
    assert sorted(PROMISES) == [script.stem for script in SCRIPTS]
    assert [name for name in PROMISES if f"({name}.py)" not in page or f"({name}.ipynb)" not in page] == []


def test_notebooks_are_up_to_date():
    assert NOTEBOOKS.write(check=True) == [], "run `make docs`"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_valid_and_shows_what_was_printed(script):
    import nbformat

    notebook = json.loads(script.with_suffix(".ipynb").read_text())
    nbformat.validate(notebook)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert any(cell["outputs"] for cell in code), "run `python docs/notebooks.py --run`"


def test_outputs_are_kept_until_the_code_changes(tmp_path):
    made = NOTEBOOKS.notebook_of([("markdown", "# A"), ("code", "print(1)\n2"), ("code", "3")], ["1\n", ""])
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(made))
    assert NOTEBOOKS.stored_outputs(path, ["print(1)\n2", "3"]) == ["1\n", ""]
    assert NOTEBOOKS.stored_outputs(path, ["print(2)\n2", "3"]) == ["", ""]
    assert NOTEBOOKS.stored_outputs(tmp_path / "b.ipynb", ["3"]) == [""]
    assert NOTEBOOKS.run_cells(["a = 1", "print(a + 1)"]) == ["", "2\n"]


def test_a_script_without_cells_is_refused():
    with pytest.raises(ValueError, match="begins with 'import keras'"):
        NOTEBOOKS.cells_of("import keras\n# %%\n")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_imports_public_names_alone(script):
    for node in ast.walk(ast.parse(script.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name.partition(".") for alias in node.names]
            assert [rest for top, _, rest in names if top == "barlowtf" and rest not in PUBLIC["barlowtf"]] == []
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("barlowtf"):
            assert {alias.name for alias in node.names} <= set(PUBLIC[node.module])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_links_of_the_prose_resolve(script):
    for file, anchor in re.findall(r"\]\(([^)#\s]+)#?([^)\s]*)\)", "\n".join(cells(script, "markdown"))):
        assert (FOLDER / file).exists()
        assert not anchor or anchor in anchors(FOLDER / file)


def test_the_loss_is_alignment_and_uniformity():
    names = {"__name__": "example"}
    exec(cells(FOLDER / "your_loss.py", "code")[0], names)
    r = np.random.default_rng(0)
    a, b = r.standard_normal((2, 6, 3)).astype("float32")
    found = names["compute"]([ViewEmbeddings(tf.constant(z)) for z in (a, b)], names["Settings"](weight=0.5))
    a, b = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (a, b))
    pairs = [(i, j) for i in range(6) for j in range(6) if i != j]
    alignment = np.mean([np.sum((a[i] - b[i]) ** 2) for i in range(6)])
    uniformity = np.mean([np.log(np.mean([np.exp(-2 * np.sum((z[i] - z[j]) ** 2)) for i, j in pairs])) for z in (a, b)])
    expected = {"total": alignment + 0.5 * uniformity, "alignment": alignment, "uniformity": uniformity}
    # Single precision.
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder that all examples run in, so that they share one run."""
    return tmp_path_factory.mktemp("examples")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_example_runs_and_so_do_the_commands_of_its_prose(place, monkeypatch, script):
    monkeypatch.chdir(place)
    assert PROMISES[script.stem](runpy.run_path(str(script), run_name="__main__"))
    (place / "my_loss.py").write_text(cells(FOLDER / "your_loss.py", "code")[0])
    for command in re.findall(r"^barlowtf (.*)$", "\n".join(cells(script, "markdown")), flags=re.MULTILINE):
        words = shlex.split(command)
        words += ["--dry-run"] if words[0] == "pretrain" else []
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, f"{command}: {result.output}"
