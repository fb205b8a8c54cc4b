"""A recipe that changes another one."""

import pytest

from barlowtf.config import dump_recipe, load_recipe, recipe_differences
from barlowtf.errors import ConfigError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_changes_settings_of_a_packaged_recipe(tmp_path):
    file = write(tmp_path / "mine.toml", 'extends = "digits"\n[train]\nepochs = 7\n[augment.view_a]\nflip = 0.25\n')
    assert recipe_differences(load_recipe("digits"), load_recipe(file)) == [
        *recipe_differences(load_recipe("digits"), load_recipe("digits", ["augment.view_a.flip=0.25"])),
        *recipe_differences(load_recipe("digits"), load_recipe("digits", ["train.epochs=7"])),
    ]
    # What is saved with a run stands by itself.
    assert "extends" not in dump_recipe(load_recipe(file))
    assert load_recipe(file, ["train.epochs=9"]).train.epochs == 9


def test_files_extend_each_other_from_their_own_folder(tmp_path):
    (tmp_path / "deep").mkdir()
    write(tmp_path / "base.toml", 'extends = "cifar10-cpu"\n[train]\nepochs = 5\nseed = 3\n')
    file = write(tmp_path / "deep" / "mine.toml", 'extends = "../base.toml"\n[train]\nepochs = 6\n')
    recipe = load_recipe(file)
    assert (recipe.train.epochs, recipe.train.seed, recipe.model.encoder) == (6, 3, "resnet10")


def test_another_optimizer_and_another_loss_start_anew(tmp_path):
    file = write(
        tmp_path / "mine.toml", 'extends = "digits"\n[optimizer]\nname = "sgd"\n[loss]\nname = "vicreg"\nlambd = 20.0\n'
    )
    given = ["optimizer.name=sgd", "loss.name=vicreg", "loss.lambd=20.0"]
    assert load_recipe(file) == load_recipe("digits", given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("extends = 3", r"Invalid extends: received 3, expected a recipe"),
        ('extends = ""', "Invalid extends"),
        ('extends = "digitz"', "Unknown recipe: received 'digitz'.* Did you mean 'digits'"),
        ('extends = "missing.toml"', "Cannot read recipe .*missing.toml"),
        ('extends = "mine.toml"', "mine.toml extends .*mine.toml extends .* Does one extend itself"),
        (
            'extends = "digits"\n[train]\nepoch = 3',
            "mine.toml: Unknown setting 'train.epoch'.*Did you mean 'train.epochs'",
        ),
        ('extends = "digits"\ntrain = 3', "mine.toml: .*train"),
    ],
)
def test_what_cannot_be_extended_is_one_line(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words) as caught:
        load_recipe(write(tmp_path / "mine.toml", text + "\n"))
    assert "\n" not in str(caught.value)
