"""Recipes: strict reading, overrides, round trip."""

import pytest

from barlowtf.config import Recipe, dump_recipe, load_recipe, named_recipes, recipe_differences
from barlowtf.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[train]\nepochs = 20\n[optimizer]\nlearning_rate = 1\n")
    return path


@pytest.mark.parametrize("name", named_recipes())
def test_packaged_recipes_load_and_survive_a_round_trip(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "again.toml").write_text(dump_recipe(recipe))
    assert load_recipe(tmp_path / "again.toml") == recipe


@pytest.mark.parametrize("name", named_recipes())
def test_packaged_recipes_state_source_command_expectation_and_cost(name):
    from importlib import resources

    text = resources.files("barlowtf_configs").joinpath(f"{name}.toml").read_text()
    for word in ("# Source:", "# Command:", "# Expected:", "# Cost:"):
        assert word in text
    assert f"--config {name}" in text


def test_imagenet_recipes_hold_the_authors_numbers():
    long = load_recipe("imagenet-1000ep")
    assert (long.train.epochs, long.train.batch_size) == (1000, 2048)
    assert (long.optimizer.learning_rate, long.optimizer.bias_learning_rate) == (0.2, 0.0048)
    assert (long.optimizer.weight_decay, long.loss.lambd, long.model.projector) == (1e-6, 0.0051, (8192, 8192, 8192))
    assert (long.augment.view_a.blur, long.augment.view_b.blur) == (1.0, 0.1)
    assert (long.augment.view_a.solarize, long.augment.view_b.solarize) == (0.0, 0.2)
    assert recipe_differences(long, load_recipe("imagenet-300ep")) == ["train.epochs: 1000 -> 300"]
    small = load_recipe("imagenet-b256")
    assert small.optimizer.bias_learning_rate == pytest.approx(0.024 * small.optimizer.learning_rate)


def test_overrides_are_typed_like_toml(file):
    recipe = load_recipe(
        file, ["optimizer.learning_rate=1e-6", "checkpoint.every_minutes=none", "augment.area=[0.2, 1]"]
    )
    assert recipe.optimizer.learning_rate == 1e-6
    assert recipe.checkpoint.every_minutes is None
    assert recipe.augment.area == (0.2, 1.0)
    assert load_recipe(file, ["data.source=tfds:cifar10"]).data.source == "tfds:cifar10"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optimizer.learnin_rate=1", ["unknown key 'optimizer.learnin_rate'", "'optimizer.learning_rate'"]),
        ("train.epoch=3", ["unknown key 'train.epoch'", "'train.epochs'"]),
        ("epochs=3", ["unknown key 'epochs'", "'train.epochs'"]),
        ("train.epochs=-1", ["train.epochs", "greater than or equal to 1", "-1"]),
        ("train.epochs=ten", ["train.epochs", "integer", "'ten'"]),
        ("train.seed=1.5", ["train.seed", "integer", "1.5"]),
        ("train.micro_batch=1000", ["micro_batch must divide batch_size = 2048", "1000"]),
        ("train.micro_batch=0", ["train.micro_batch", "greater than or equal to 1"]),
        ("train.deterministic=1", ["train.deterministic", "boolean"]),
        ("augment.area=[0.9, 0.1]", ["area", "[0.9, 0.1]"]),
        ("augment.area=[0.5, 1.5]", ["area", "at most 1"]),
        ("augment.mean=[0.5, 0.5]", ["mean"]),
        ("data.channels=4", ["data.channels = 4"]),
        ("optimizer.name=adam", ["optimizer.name", "'lars'", "'adam'"]),
        ("optimizer.name=sgd", ["bias_learning_rate", "sgd"]),
        ("optimizer.warmup_epochs=20", ["warmup_epochs = 20", "train.epochs = 20"]),
        ("model.encoder=resnet19", ["model.encoder", "resnet19"]),
        ("train=3", ["train"]),
        ("train.epochs.more=3", ["epochs"]),
        ("train.epochs", ["section.key=value"]),
    ],
)
def test_bad_settings_are_named_in_one_line(file, override, words):
    with pytest.raises(ConfigError) as caught:
        load_recipe(file, [override])
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cifar10-cpu'"):
        load_recipe("cifar10cpu")


def test_two_sizes_of_images_need_a_stem_by_name():
    with pytest.raises(ConfigError, match="model.stem must be imagenet, small or half where augment.test_size differs"):
        load_recipe("digits", ["augment.test_size=20", "model.stem=auto"])
    recipe = load_recipe("digits", ["augment.test_size=20", "model.stem=small"])
    assert (recipe.augment.size, recipe.augment.evaluated_size) == (16, 20)
    assert load_recipe("digits").augment.evaluated_size == 16


def test_unreadable_recipes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read recipe"):
        load_recipe(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_every_setting_is_written():
    text = dump_recipe(Recipe(train={"epochs": 50}))
    for key in ('every_steps = "none"', "[augment.view_b]", "gradient_scale = 1.0"):
        assert key in text


def test_every_setting_is_documented_with_its_default():
    from pathlib import Path

    page = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()
    shown = dict(
        line.strip("| ").split(" | ")[:2] for line in page.splitlines() if line.startswith("| `") and "." in line
    )
    recipe = Recipe().model_dump()
    for section, table in recipe.items():
        for key, value in table.items():
            for name, leaf in value.items() if isinstance(value, dict) else [("", value)]:
                path = f"`{section}.{key}{'.' if name else ''}{name}`"
                assert path in shown
                if isinstance(leaf, int | str):
                    assert shown[path] == f"`{str(leaf).lower() if isinstance(leaf, bool) else leaf}`"
