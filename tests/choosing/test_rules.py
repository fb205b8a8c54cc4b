"""What the rules choose for images and machines of every kind, and that each choice is a recipe."""

import pytest

from barlowtf.choosing import RULES, Look, apply_rules, assemble, ladder, pace
from tests.choosing.situations import CELLS, DIGITS, GPU, PHOTOGRAPHS, PROCESSOR, UNKNOWN, make_situation


def chosen(*words, **facts):
    situation = make_situation(*words, **facts)
    apply_rules(situation)
    return situation.chosen


@pytest.mark.parametrize("machine", [PROCESSOR, GPU], ids=["processor", "gpu"])
@pytest.mark.parametrize("look", [PHOTOGRAPHS, CELLS, DIGITS])
@pytest.mark.parametrize("side", [(8, 8), (28, 28), (32, 40), (64, 64), (96, 96), (480, 640), (2000, 3000)])
@pytest.mark.parametrize(("channels", "is_gray"), [(3, False), (3, True), (1, True), (7, False)])
def test_every_choice_is_a_recipe(machine, look, side, channels, is_gray):
    for rung in range(3):
        situation = make_situation(look, machine, side=side, channels=channels, is_gray=is_gray, rung=rung)
        choices = apply_rules(situation)
        recipe = assemble({**situation.chosen, **pace(20), "train.epochs": 20, "data.source": "photos"})
        assert list(choices) == [rule.name for rule in RULES]
        assert all(choice.text and choice.reason and not choice.reason.endswith(".") for choice in choices.values())
        # Never larger than what it shows, but for tiny images.
        assert recipe.augment.size <= max(situation.seen_side, 16)
        assert recipe.data.channels == (1 if is_gray else channels)


def test_cifar_on_a_processor_gets_the_packaged_recipe():
    """The recipe cifar10-cpu, but for epochs, names and the colors of the sample."""
    settings = chosen(images=50_000, side=(32, 32))
    expected = {
        "model.encoder": "resnet10",
        "model.stem": "half",
        "augment.size": 24,
        "augment.test_size": 40,
        "augment.area": (0.2, 1.0),
        "train.pairs": 2,
        "train.batch_size": 128,
        "train.precision": "mixed_bfloat16",
        "model.projector": (1024, 1024, 1024),
        "optimizer.name": "adamw",
        "optimizer.learning_rate": 0.008,
        "augment.view_a.blur": 0.0,
        "augment.view_b.solarize": 0.0,
        "augment.view_a.flip": 0.5,
        "augment.view_a.grayscale": 0.2,
        "augment.window": None,
    }
    assert {key: settings[key] for key in expected} == expected


def test_photographs_on_a_gpu_get_the_papers_views():
    settings = chosen(PHOTOGRAPHS, GPU, images=1_281_167, side=(375, 500))
    assert settings["model.encoder"] == "resnet50"
    assert (settings["augment.size"], settings["augment.area"]) == (224, (0.08, 1.0))
    assert settings["augment.blur_sigma"] == (0.1, 2.0)
    assert [settings[f"augment.view_{view}.blur"] for view in "ab"] == [1.0, 0.1]
    assert [settings[f"augment.view_{view}.solarize"] for view in "ab"] == [0.0, 0.2]
    assert settings["model.projector"] == (8192, 8192, 8192)
    # The authors' rates for a batch of 256: 0.4, and 0.024 of it for biases.
    assert settings["train.batch_size"] == 256
    assert (settings["optimizer.learning_rate"], settings["optimizer.bias_learning_rate"]) == (0.4, 0.0096)
    # That of biases belongs to a sixteenth of the gradient, as in the packaged recipes.
    assert settings["optimizer.gradient_scale"] == 0.0625


def test_few_photographs_get_a_smaller_encoder():
    assert chosen(PHOTOGRAPHS, GPU, images=9_000, side=(375, 500))["model.encoder"] == "resnet18"
    assert chosen(PHOTOGRAPHS, GPU, images=9_000, side=(375, 500))["model.projector"] == (2048, 2048, 2048)


def test_cells_are_turned_and_cut_from_a_window():
    settings = chosen(CELLS, side=(480, 640), images=364)
    # 2.5 times a sixth of 480 pixels.
    assert settings["augment.window"] == 200
    for view in ("view_a", "view_b"):
        assert (settings[f"augment.{view}.flip"], settings[f"augment.{view}.turn"]) == (0.5, 1.0)
        assert settings[f"augment.{view}.grayscale"] == 0.0
    assert settings["augment.hue"] == 0.05
    # At least four steps per epoch.
    assert settings["train.batch_size"] == 64


def test_what_has_a_left_and_a_right_is_not_mirrored():
    assert chosen(DIGITS, side=(8, 8), is_gray=True)["augment.view_a.flip"] == 0.0
    assert chosen(DIGITS, side=(8, 8), is_gray=True)["augment.view_a.turn"] == 0.0


def test_few_images_are_taken_to_have_an_upright():
    few = Look(UNKNOWN, UNKNOWN, 0.1)
    assert few.has_upright
    settings = chosen(few, images=20, side=(480, 640))
    assert settings["augment.window"] is None
    assert (settings["augment.view_a.flip"], settings["augment.view_a.turn"]) == (0.5, 0.0)


@pytest.mark.parametrize(("channels", "is_gray"), [(1, True), (3, True), (5, False)])
def test_what_is_not_rgb_gets_no_color_jitter(channels, is_gray):
    settings = chosen(PHOTOGRAPHS, channels=channels, is_gray=is_gray)
    assert (settings["augment.saturation"], settings["augment.hue"]) == (0.0, 0.0)
    assert settings["augment.view_a.grayscale"] == 0.0
    assert ("augment.gain" in settings) == (channels == 5)
    assert len(settings["augment.mean"]) == (1 if is_gray else channels)


def test_sixteen_bits_are_kept_and_twelve_of_them_become_white():
    assert "data.depth" not in chosen(PHOTOGRAPHS)
    settings = chosen(PHOTOGRAPHS, bits=16, white=4095)
    assert (settings["data.depth"], settings["data.white"]) == (16, 4095)


def test_given_settings_stay_and_are_said():
    given = {"model.encoder": "resnet34", "augment.size": 48, "train.batch_size": 100}
    situation = make_situation(given=given)
    choices = apply_rules(situation)
    assert {key: situation.chosen[key] for key in given} == given
    assert "given: model.encoder = resnet34" in choices["encoder"].text
    assert "given: train.batch_size = 100" in choices["batch"].text


def test_other_encoders_get_adamw_and_no_stem():
    settings = chosen(PHOTOGRAPHS, GPU, given={"model.encoder": "own.py:make"})
    assert (settings["model.stem"], settings["optimizer.name"]) == ("auto", "adamw")


def test_rungs_cost_less_and_less():
    situation = make_situation(PHOTOGRAPHS, GPU, images=1_000_000, side=(375, 500))
    apply_rules(situation)
    sizes = [(rung.encoder, rung.size) for rung in ladder(situation)]
    assert sizes == [("resnet50", 224), ("resnet18", 224), ("resnet18", 128)]
