"""Grids: the packaged ones, one's own, and what is wrong with them."""

import re
import tomllib

import pytest

from barlowtf.config import load_recipe
from barlowtf.config.grid import Cell, Grid, as_overrides, load_grid, named_grids
from barlowtf.errors import ConfigError

# arXiv:2103.03230, Tables 5 and 6, and the authors' rates for small batches (issue 7 of their repository).
TABLE5 = [71.4, 57.3, 0.1, 69.8, 71.2, 53.4, 63.3]
TABLE6 = [71.4, 70.5, 70.2, 61.3]
BATCHES = {
    128: (0.7, 69.7),
    256: (0.4, 70.7),
    512: (0.3, 71.4),
    1024: (0.25, 71.7),
    2048: (0.2, 71.4),
    4096: (0.2, 70.7),
}


def own(tmp_path, text):
    file = tmp_path / "grid.toml"
    file.write_text(text)
    return file


def test_packaged_grids():
    assert named_grids() == ["augment", "batch", "lambda", "methods", "projector", "table5", "table6"]
    assert [cell.published for cell in load_grid("table5").every_cell()] == TABLE5
    assert [cell.published for cell in load_grid("table6").every_cell()] == TABLE6


def test_batches_have_the_authors_rates():
    cells = {cell.set["train.batch_size"]: cell for cell in load_grid("batch").every_cell() if cell.published}
    found = {batch: (cell.lars["optimizer.learning_rate"], cell.published) for batch, cell in cells.items()}
    assert found == BATCHES
    for cell in load_grid("batch").every_cell():
        share = cell.lars["optimizer.bias_learning_rate"] / cell.lars["optimizer.learning_rate"]
        assert share == pytest.approx(0.024)


def test_projector_and_augmentations_cover_the_figures():
    widths = {cell.set["model.projector"] for cell in load_grid("projector").every_cell()}
    assert {(16,) * 3, (16384,) * 3} <= widths
    assert {len(width) for width in widths} == {1, 2, 3, 4}
    removed = [set(cell.set) for cell in load_grid("augment").every_cell()]
    assert all(before < after for before, after in zip(removed, removed[1:], strict=False))
    for keys in removed:
        by_view = [{key for key in keys if f"view_{view}" in key} for view in "ab"]
        assert {key.replace("view_a", "view_b") for key in by_view[0]} == by_view[1]
        assert keys == by_view[0] | by_view[1]


@pytest.mark.parametrize("name", named_grids())
@pytest.mark.parametrize("base", ["digits", "cifar10", "imagenet-300ep"])
def test_every_cell_is_a_recipe(name, base):
    grid = load_grid(name)
    for cell in grid.every_cell():
        given = [*as_overrides(grid.base), *as_overrides(cell.set)]
        recipe = load_recipe(base, given)
        if recipe.optimizer.name == "lars":
            recipe = load_recipe(base, [*given, *as_overrides(cell.lars)])
        assert recipe.train.seed == 0


def test_axes_are_all_combinations(tmp_path):
    file = own(tmp_path, 'title = "t"\n[axes]\n"loss.lambd" = [0.01, 0.1]\n"train.batch_size" = [32, 64]\n')
    cells = load_grid(file).every_cell()
    assert [cell.name for cell in cells] == [
        "lambd 0.01, batch_size 32",
        "lambd 0.01, batch_size 64",
        "lambd 0.1, batch_size 32",
        "lambd 0.1, batch_size 64",
    ]
    assert cells[1].set == {"loss.lambd": 0.01, "train.batch_size": 64}
    assert {cell.x for cell in cells} == {None}
    assert [cell.slug for cell in cells][0] == "lambd-0.01-batch_size-32"


def test_one_axis_of_numbers_is_the_horizontal_one(tmp_path):
    cells = load_grid(own(tmp_path, 'title = "t"\naxes.loss.lambd = [0.01, 0.1]\n')).every_cell()
    assert [cell.x for cell in cells] == [0.01, 0.1]
    projectors = 'title = "t"\n[axes]\nmodel.projector = [[8, 8], [16]]\n'
    cells = load_grid(own(tmp_path, projectors)).every_cell()
    assert [(cell.name, cell.x) for cell in cells] == [("projector 8-8", None), ("projector 16", None)]


def test_settings_may_be_tables(tmp_path):
    text = 'title = "t"\n[[cells]]\nname = "a"\nset.augment.view_a.flip = 0.0\n[[cells]]\nname = "b"\n'
    first, second = load_grid(own(tmp_path, text)).every_cell()
    assert first.set == {"augment.view_a.flip": 0.0}
    assert second.set == {}


def test_overrides_are_toml():
    settings = {"a.b": (1, 2), "c": "x", "d": True, "e": 0.5, "f": ("view", "other")}
    for text in as_overrides(settings):
        key, _, value = text.partition("=")
        found = tomllib.loads(f"value = {value}")["value"]
        assert (tuple(found) if isinstance(found, list) else found) == settings[key]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "title"),
        ('title = "t"', "neither cells nor axes"),
        ('title = "t"\naxes.a.b = [1]\n[[cells]]\nname = "x"', "received both cells and axes"),
        ('title = "t"\naxes.a.b = []', "received an empty list"),
        ('title = "t"\ncells = []\n[axes]\n' + "\n".join(f"a{n}.b = [1, 2, 3, 4]" for n in range(6)), "received 4096"),
        (
            'title = "t"\n[[cells]]\nname = "A b"\n[[cells]]\nname = "a-b"',
            "the names 'A b' and 'a-b'",
        ),
        ('title = "t"\ntitel = "u"\naxes.a.b = [1]', "titel"),
        ('title = "t"\n[[cells]]\nname = "x"\nsett = 3', "sett"),
        ('title = "t"\nequal = "steps"\naxes.a.b = [1]', "equal"),
        ('title = "t"\n[[cells]]\nname = ""', "name"),
        ("title = ", "not valid TOML"),
        ('title = "t"\naxes.train.seed = [1, 2]', "the setting train.seed, which --seeds sets"),
        ('title = "t"\naxes.a.b = [nan]', "received nan, expected a finite number"),
        ('title = "t"\n[[cells]]\nname = "x"\nx = "far"', "Invalid cells.x.x: received 'far'"),
        ('title = "t"\naxes.a.b = 3', "axes.a.b"),
    ],
)
def test_wrong_grids_are_one_line(tmp_path, text, message):
    with pytest.raises(ConfigError, match="grid.toml") as caught:
        load_grid(own(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_files(tmp_path):
    with pytest.raises(ConfigError, match=r"Unknown grid: received 'tabel5', .*table5.*Did you mean"):
        load_grid("tabel5")
    with pytest.raises(ConfigError, match="Cannot read grid .*missing.toml"):
        load_grid(tmp_path / "missing.toml")


def test_slugs_are_folders():
    assert re.fullmatch("etc-passwd-[0-9a-f]{8}", Cell(name="../../etc/passwd").slug)
    assert Cell(name="É ü").slug.startswith("cell-")
    assert Cell(name="日本").slug != Cell(name="中国").slug
    assert Grid(title="t", cells=(Cell(name="a"),)).every_cell()[0].slug == "a"
