"""Recipes: strict reading, overrides, round trip."""

import tomllib

import pytest

from barlowtf.config import Recipe, check_overrides, dump_recipe, load_recipe, named_recipes, recipe_differences
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
        (
            "optimizer.learnin_rate=1",
            ["Unknown setting 'optimizer.learnin_rate' of optimizer lars. Did you mean 'optimizer.learning_rate'?"],
        ),
        ("train.epoch=3", ["Unknown setting 'train.epoch'", "'train.epochs'"]),
        ("epochs=3", ["Unknown setting 'epochs'", "'train.epochs'"]),
        ("train.epochs=-1", ["train.epochs", "greater than or equal to 1", "-1"]),
        ("train.epochs=ten", ["train.epochs", "integer", "'ten'"]),
        ("train.seed=1.5", ["train.seed", "integer", "1.5"]),
        (
            "train.micro_batch=1000",
            ["Invalid train.micro_batch: received 1000, expected a divisor of batch_size = 2048"],
        ),
        (
            "train.freeze_encoder_epochs=2",
            ["train.freeze_encoder_epochs: received 2, expected 0 where the encoder starts from random"],
        ),
        ("train.micro_batch=0", ["train.micro_batch", "greater than or equal to 1"]),
        ("train.deterministic=1", ["train.deterministic", "boolean"]),
        ("model.projector=[256, 1000000000]", ["Invalid model.projector: received 1000000000, expected", "65536"]),
        ("augment.size=100000", ["Invalid augment.size: received 100000, expected a number less than or equal"]),
        ("optimizer.learning_rate=inf", ["optimizer.learning_rate", "received inf, expected a finite number"]),
        ("augment.area=[0.9, 0.1]", ["area", "[0.9, 0.1]"]),
        ("augment.area=[0.5, 1.5]", ["area", "at most 1"]),
        ("augment.mean=[0.5, 0.5]", ["mean"]),
        ("data.channels=4", ["data.channels = 4"]),
        (
            "optimizer.name=adam",
            ["Invalid optimizer.name: received 'adam', expected one of lars, lamb, adamw, sgd, torch_sgd."],
        ),
        ("optimizer.name=[1]", ["optimizer"]),
        ("optimizer.momentum=1.0", ["Invalid optimizer.momentum: received 1.0, expected a number less than 1"]),
        ("optimizer.warmup_epochs=20", ["optimizer.warmup_epochs: received 20", "less than train.epochs = 20"]),
        ("loss.name=3", ["Invalid loss.name: received 3, expected a valid string"]),
        ("optimizer=3", ["Invalid optimizer: received 3, expected a table of settings"]),
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


@pytest.mark.parametrize("order", [1, -1])
def test_another_optimizer_keeps_the_keys_that_both_have(file, order, caplog):
    caplog.set_level("INFO", "barlowtf")
    file.write_text("[train]\nepochs = 20\n[optimizer]\nlearning_rate = 1\neta = 0.5\nwarmup_epochs = 3\n")
    recipe = load_recipe(file, ["optimizer.name=sgd", "optimizer.momentum=0.5"][::order])
    assert (recipe.optimizer.name, recipe.optimizer.learning_rate, recipe.optimizer.momentum) == ("sgd", 1.0, 0.5)
    assert recipe.optimizer.warmup_epochs == 3.0
    assert not hasattr(recipe.optimizer, "eta")
    assert [record.message for record in caplog.records] == [
        "optimizer.name is sgd instead of lars, without the recipe's eta."
    ]
    caplog.clear()
    assert load_recipe(file, ["optimizer.name=lars"]).optimizer.eta == 0.5
    assert not caplog.records


def test_fewer_epochs_than_the_warm_up_shorten_it(file, caplog):
    caplog.set_level("INFO")
    recipe = load_recipe("cifar10", ["train.epochs=2"])
    before = load_recipe("cifar10")
    expected = before.optimizer.warmup_epochs * 2 / before.train.epochs
    assert recipe.optimizer.warmup_epochs == pytest.approx(expected, rel=0.01)
    (line,) = [record.message for record in caplog.records]
    assert line.startswith("optimizer.warmup_epochs is ") and "train.epochs, 2 instead of " in line
    # The default of both, where the file has none.
    assert load_recipe(file, ["train.epochs=8"]).optimizer.warmup_epochs == 4
    file.write_text("")
    assert load_recipe(file, ["train.epochs=10"]).optimizer.warmup_epochs == 0.1
    assert load_recipe(file, ["train.epochs=11"]).optimizer.warmup_epochs == 10
    with pytest.raises(ConfigError, match=r"warmup_epochs: received 9, .* 2; .* --set optimizer\.warmup_epochs=0\.$"):
        load_recipe("cifar10", ["optimizer.warmup_epochs=9", "train.epochs=2"])
    file.write_text("[train]\nepochs = 5\n")
    with pytest.raises(ConfigError, match="warmup_epochs: received 10, expected less than train.epochs = 5"):
        load_recipe(file)


@pytest.mark.parametrize("order", [1, -1])
def test_another_loss_starts_anew(order, caplog):
    caplog.set_level("INFO", "barlowtf")
    recipe = load_recipe("digits", ["loss.name=my_loss.py:LOSS", "loss.weights=[1, 2]", "loss.other=none"][::order])
    assert recipe.loss.name == "my_loss.py:LOSS"
    assert recipe.loss.settings == {"weights": (1, 2), "other": None}
    assert "loss.name is my_loss.py:LOSS instead of barlow_twins, without the recipe's lambd, form." in caplog.text


@pytest.mark.parametrize(
    ("name", "key", "owner"),
    [("adamw", "eta", "lars"), ("sgd", "bias_learning_rate", "lars"), ("lamb", "clip", "lars")],
)
def test_a_key_of_another_optimizer_is_refused(name, key, owner):
    with pytest.raises(ConfigError) as caught:
        load_recipe("digits", [f"optimizer.name={name}", f"optimizer.{key}=0.01"])
    assert f"Unknown setting 'optimizer.{key}' of optimizer {name}" in str(caught.value)
    assert f"a setting of {owner}: expected one of name, learning_rate, weight_decay" in str(caught.value)


def test_settings_that_only_one_recipe_has_are_differences():
    adamw, sgd = load_recipe("digits"), load_recipe("digits", ["optimizer.name=sgd"])
    assert recipe_differences(adamw, sgd) == [
        "optimizer.name: adamw -> sgd",
        "optimizer.momentum: not set -> 0.9",
    ]
    assert recipe_differences(sgd, adamw)[-1] == "optimizer.momentum: 0.9 -> not set"


@pytest.mark.parametrize("name", named_recipes())
def test_packaged_recipes_state_every_key_of_their_sections(name):
    from importlib import resources

    from barlowtf import losses

    text = resources.files("barlowtf_configs").joinpath(f"{name}.toml").read_text()
    recipe = load_recipe(name)
    complete = recipe.model_copy(update={"loss": losses.settle(recipe.loss)})

    def keys(tables, prefix=""):
        for key, value in tables.items():
            yield from keys(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]

    assert sorted(keys(tomllib.loads(text))) == sorted(keys(complete.model_dump()))
    assert complete == recipe


def test_cifar10_has_the_settings_of_solo_learn():
    recipe = load_recipe("cifar10")
    optimizer = recipe.optimizer
    assert (optimizer.learning_rate, optimizer.bias_learning_rate, optimizer.weight_decay) == (0.3, 0.3, 1e-4)
    assert (optimizer.eta, optimizer.clip, optimizer.gradient_scale) == (0.02, True, 0.1)
    assert (optimizer.warmup_epochs, optimizer.warmup_start, optimizer.final_scale) == (10, 3e-5, 0.0)
    model = recipe.model
    assert (model.encoder, model.stem, model.zero_residual) == ("resnet18", "small_padded", False)
    assert (model.projector, model.projector_bias, model.projector_normalization) == ((2048,) * 3, True, True)
    assert (recipe.train.epochs, recipe.train.batch_size, recipe.loss.settings["lambd"]) == (1000, 256, 0.0051)


def test_unknown_recipe_names_the_nearest():
    with pytest.raises(ConfigError, match="Did you mean 'cifar10-cpu'"):
        load_recipe("cifar10cpu")


def test_two_sizes_of_images():
    recipe = load_recipe("digits", ["augment.test_size=20", "model.stem=small"])
    assert (recipe.augment.size, recipe.augment.evaluated_size) == (16, 20)
    assert load_recipe("digits").augment.evaluated_size == 16


def test_unreadable_recipes_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="Cannot read recipe"):
        load_recipe(tmp_path / "missing.toml")
    for text in ("a = " + "[" * 50_000, f"a = {'9' * 5000}"):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(ConfigError, match="bad.toml is not valid TOML: .{9,200}$"):
            load_recipe(tmp_path / "bad.toml")
    for value in ("[" * 5000, "9" * 5000):
        with pytest.raises(ConfigError, match=r"train\.epochs: received .*, expected"):
            load_recipe("digits", [f"train.epochs={value}"])
    (tmp_path / "bad.toml").write_text("[train\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(tmp_path / "bad.toml")


def test_every_setting_is_written():
    text = dump_recipe(Recipe(train={"epochs": 50}))
    for key in ('every_steps = "none"', "[augment.view_b]", "gradient_scale = 1.0"):
        assert key in text


def test_settings_that_exclude_each_other():
    with pytest.raises(ConfigError, match="pairs: received 2, expected 1 where micro_batch is set"):
        load_recipe("digits", ["train.micro_batch=32", "train.batch_size=64", "train.pairs=2"])
    parent = ["parent.run=runs/first", "parent.updates=3"]
    with pytest.raises(ConfigError, match="model.init: received 'runs/other', expected none where parent.run is"):
        load_recipe("digits", ["model.init=runs/other", *parent])


@pytest.mark.parametrize(
    ("setting", "meant"),
    [
        ("optimizer.lr=0.1", "Unknown setting 'optimizer.lr'. Did you mean 'optimizer.learning_rate'?"),
        ("lr=0.1", "Unknown setting 'lr'. Did you mean 'optimizer.learning_rate'?"),
        ("optimizer.wd=0.1", "Did you mean 'optimizer.weight_decay'?"),
        ("train.bs=8", "Did you mean 'train.batch_size'?"),
        ("epochs=8", "Did you mean 'train.epochs'?"),
        ("momentum=0.9", "Did you mean 'optimizer.momentum'?"),
        ("model.backbone=resnet18", "Did you mean 'model.encoder'?"),
        ("train.epochs=soon", "Invalid train.epochs: received 'soon', expected a valid integer."),
        ("optimizer.name=adagrad", "received 'adagrad', expected one of lars, lamb, adamw, sgd, torch_sgd."),
    ],
)
def test_overrides_are_checked_without_a_recipe(setting, meant):
    with pytest.raises(ConfigError) as caught:
        check_overrides([setting])
    assert meant in str(caught.value)


def test_whether_overrides_fit_together_is_seen_with_the_recipe(file):
    # More than the default epochs, and a setting that not all optimizers have.
    check_overrides(["optimizer.warmup_epochs=2000", "optimizer.momentum=0.5", "loss.lambd=0.1"])
    check_overrides(["optimizer.name=adamw", "train.epochs=5"])
    with pytest.raises(ConfigError, match="optimizer.momentum' of optimizer adamw, a setting of lars, sgd"):
        check_overrides(["optimizer.name=adamw", "optimizer.momentum=0.5"])
