"""The plan of a grid: cells, epochs, time and memory before anything runs. Steps are not timed here."""

import pytest

from barlowtf.config import load_recipe
from barlowtf.config.grid import load_grid
from barlowtf.errors import CheckpointError, ConfigError, DataError
from barlowtf.experiment import ablate, ablation_plan
from barlowtf.experiment.ablation_recipes import Scope, cell_recipe
from barlowtf.records import AblationPlan
from tests.experiment.ablation.grids import GRID, request


def test_another_grid_is_refused_with_what_differs(grid, tmp_path, timed, processes):
    ablate(request(grid, tmp_path))
    for changes, message in (
        ({"base": "cifar10", "overrides": ("data.source=digits", "data.channels=3")}, "base digits -> cifar10"),
        ({"budget": "1h"}, "budget none -> 1 h"),
        ({"overrides": ("optimizer.learning_rate=0.1",)}, "its cells or a setting of the base recipe"),
    ):
        with pytest.raises(ConfigError, match="holds another grid") as caught:
            ablate(request(grid, tmp_path, **changes))
        assert message in str(caught.value)
    grid.write_text(GRID.replace("0.001", "0.002"))
    with pytest.raises(ConfigError, match="its cells or a setting"):
        ablate(request(grid, tmp_path))


@pytest.mark.parametrize("equal", ["epochs", "time"])
def test_a_budget_sets_the_epochs(grid, tmp_path, monkeypatch, equal):
    grid.write_text(
        GRID.replace("title =", f'equal = "{equal}"\ntitle =').replace('"loss.lambd" = 0.1', '"train.batch_size" = 32')
    )
    # The small batch has twice the steps and takes as long for each.
    monkeypatch.setattr(ablation_plan, "time_step", lambda *_: 0.05)
    out = request(grid, tmp_path, budget="30m", jobs=2, dry_run=True)
    plan = ablate(out).plan
    usable = 2 * 1800 - 4 * 60
    per_epoch = [22 * 0.05, 44 * 0.05]
    expected = (
        [int(usable / 4 / each) for each in per_epoch] if equal == "time" else [int(usable / 2 / sum(per_epoch))] * 2
    )
    assert [cell.epochs for cell in plan.cells] == expected
    assert plan.seconds == pytest.approx(1800, rel=0.02)
    assert not (tmp_path / "out").exists()
    recipe = cell_recipe(
        Scope(load_grid(grid), "g", "digits", (), (0,), (), 1800.0, 1),
        load_grid(grid).every_cell()[0],
        epochs=expected[0],
    )
    base = load_recipe("digits")
    # The warm-up is the same share of the run.
    share = base.optimizer.warmup_epochs / base.train.epochs
    assert recipe.optimizer.warmup_epochs / recipe.train.epochs == pytest.approx(share, rel=1e-2)


def test_a_budget_that_is_too_short_says_what_it_takes(grid, tmp_path, timed):
    for equal in ("epochs", "time"):
        grid.write_text(f'equal = "{equal}"\n{GRID}')
        with pytest.raises(ConfigError, match="expected at least 4 min for one epoch of each of 4 runs"):
            ablate(request(grid, tmp_path, budget="241s"))
        with pytest.raises(ConfigError, match="expected more than 4 min: 4 runs"):
            ablate(request(grid, tmp_path, budget="3m"))
    assert len(timed) == 2, "what cannot be is refused before anything is timed"
    with pytest.raises(ConfigError, match="train.epochs is set, too"):
        ablate(request(grid, tmp_path, budget="3h", overrides=("train.epochs=50",)))


def test_what_does_not_fit_is_refused_before_anything_is_written(grid, tmp_path, timed, monkeypatch):
    cases = (
        (GRID.replace("loss.lambd", "loss.lambda"), ConfigError, "Cell 'small' of .*loss.lambda"),
        (GRID.replace('"loss.lambd" = 0.1', '"train.batch_size" = 4096'), DataError, "4096"),
        (GRID.replace('"loss.lambd" = 0.1', '"model.encoder" = "resnet7"'), ConfigError, "Cell 'large' of .*resnet7"),
    )
    for text, kind, message in cases:
        grid.write_text(text)
        with pytest.raises(kind, match=message):
            ablate(request(grid, tmp_path))
    grid.write_text(GRID)
    monkeypatch.setattr(ablation_plan, "step_memory", lambda *_: 1e15)
    with pytest.raises(ConfigError, match="each of 3 jobs may take .* Set --jobs 1"):
        ablate(request(grid, tmp_path, jobs=3))
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone(grid, tmp_path, timed):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").touch()
    with pytest.raises(ConfigError, match=r"holds no ablation\.json"):
        ablate(request(grid, tmp_path))
    (tmp_path / "out" / "ablation.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not a valid AblationPlan.*Or delete it"):
        ablate(request(grid, tmp_path))


def test_a_plan_that_is_lost_is_made_anew(grid, tmp_path, timed, processes):
    before = ablate(request(grid, tmp_path))
    processes.clear()
    (tmp_path / "out" / "ablation.json").unlink()
    assert ablate(request(grid, tmp_path)).rows == before.rows
    assert not processes


def test_paper_scale_is_not_other_scale():
    recipe = load_recipe("imagenet-300ep")
    assert not ablation_plan._is_other_scale(recipe, [300, 300])
    assert ablation_plan._is_other_scale(recipe, [300, 30])
    assert ablation_plan._is_other_scale(load_recipe("digits"), [300])


def test_plan_is_printed(grid, tmp_path, timed, caplog):
    plan = ablate(request(grid, tmp_path, dry_run=True, jobs=2)).plan
    lines = ablation_plan.explain_plan(plan)
    assert lines[2].startswith("cells       2 x 2 seeds = 4 runs of ")
    assert "2 runs at a time" in lines[-1]
    assert isinstance(plan, AblationPlan)
