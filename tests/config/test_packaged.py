"""Packaged recipes: the numbers of the sources that their headers name."""

import pytest

from barlowtf.config import load_recipe, recipe_differences

# Solo-learn's LARS: rate, weight decay.
SOLO_LARS = {
    "cifar10": (0.3, 1e-4),
    "cifar10-vicreg": (0.3, 1e-4),
    "cifar10-byol": (1.0, 1e-5),
    "cifar10-frossl": (0.3, 1e-4),
    "cifar10-swav": (0.6, 1e-6),
    "cifar100": (0.3, 1e-4),
    "stl10": (0.3, 1e-4),
    "imagenet100": (0.3, 1e-4),
}
# Recipe -> epochs, batch, loss, its settings that are not defaults of the source's code, projector.
METHODS = {
    "cifar10-simclr": (1000, 512, "simclr", {"temperature": 0.5}, (512, 512, 128)),
    "cifar10-vicreg": (1000, 256, "vicreg", {"invariance": 25.0, "variance": 50.0, "covariance": 1.0}, (2048,) * 3),
    "cifar10-byol": (1000, 256, "byol", {"predictor": (4096,), "momentum": (0.99, 1.0)}, (4096, 256)),
    "cifar10-simsiam": (800, 512, "simsiam", {"predictor": (512,)}, (2048, 2048)),
    "cifar10-swav": (
        1000,
        256,
        "swav",
        {"prototypes": 3000, "temperature": 0.1, "freeze_prototypes": 390},
        (2048, 128),
    ),
    "cifar10-wmse": (1000, 256, "wmse", {"identity": 0.0}, (1024, 64)),
    "cifar10-lejepa": (1000, 256, "lejepa", {"sigreg": 0.05}, (2048, 2048, 64)),
    "cifar10-frossl": (1000, 256, "frossl", {"invariance": 1.0}, (2048, 2048, 1024)),
    "cifar10-mixed-barlow-twins": (2000, 256, "mixed_barlow_twins", {"lambd": 1 / 128, "mix": 8.0}, (512, 1024)),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_the_settings_of_its_source(name):
    epochs, batch_size, loss, settings, projector = METHODS[name]
    recipe = load_recipe(name)
    assert (recipe.train.epochs, recipe.train.batch_size) == (epochs, batch_size)
    assert recipe.loss.name == loss and recipe.model.projector == projector
    assert {key: recipe.loss.settings[key] for key in settings} == settings


@pytest.mark.parametrize("name", SOLO_LARS)
def test_recipes_of_solo_learn_share_optimizer_and_start(name):
    optimizer, model = load_recipe(name).optimizer, load_recipe(name).model
    rate, decay = SOLO_LARS[name]
    assert (optimizer.learning_rate, optimizer.bias_learning_rate, optimizer.weight_decay) == (rate, rate, decay)
    assert (optimizer.momentum, optimizer.eta, optimizer.clip) == (0.9, 0.02, True)
    assert (optimizer.warmup_epochs, optimizer.warmup_start, optimizer.final_scale) == (10, 3e-5, 0.0)
    assert (model.encoder, model.zero_residual, model.projector_bias) == ("resnet18", False, True)
    # Solo-learn has another first convolution for CIFAR alone.
    assert model.stem == ("small_padded" if name.startswith("cifar") else "imagenet")
    assert optimizer.gradient_scale == (0.1 if load_recipe(name).loss.name == "barlow_twins" else 1.0)


def test_other_optimizers_of_methods():
    simclr, simsiam = load_recipe("cifar10-simclr").optimizer, load_recipe("cifar10-simsiam").optimizer
    assert (simclr.learning_rate, simclr.bias_learning_rate, simclr.weight_decay) == (1.0, 1.0, 1e-4)
    assert (simclr.eta, simclr.clip, simclr.warmup_start, simclr.gradient_scale) == (0.001, False, None, 2.0)
    assert (simsiam.name, simsiam.learning_rate, simsiam.weight_decay) == ("torch_sgd", 0.03, 5e-4)
    assert (simsiam.momentum, simsiam.warmup_epochs, simsiam.final_scale) == (0.9, 0, 0.0)
    mixed = load_recipe("cifar10-mixed-barlow-twins").optimizer
    assert (mixed.name, mixed.learning_rate, mixed.weight_decay, mixed.final_scale) == ("adamw", 0.01, 1e-6, 0.001)


def test_views_of_methods():
    """Smallest area, saturation, solarize of both views; the rest is alike, without blur."""
    expected = {
        "cifar10": (0.08, 0.2, 0.0, 0.2),
        "cifar10-simclr": (0.08, 0.4, 0.0, 0.0),
        "cifar10-vicreg": (0.2, 0.2, 0.1, 0.1),
        "cifar10-byol": (0.08, 0.2, 0.0, 0.2),
        "cifar10-simsiam": (0.2, 0.4, 0.0, 0.0),
        "cifar10-frossl": (0.08, 0.4, 0.0, 0.0),
        "cifar10-mixed-barlow-twins": (0.08, 0.4, 0.0, 0.0),
    }
    for name, (area, saturation, *solarize) in expected.items():
        augment = load_recipe(name).augment
        views = (augment.view_a, augment.view_b)
        assert (augment.area, augment.saturation) == ((area, 1.0), saturation), name
        assert [view.solarize for view in views] == solarize, name
        assert (augment.brightness, augment.contrast, augment.hue) == (0.4, 0.4, 0.1), name
        assert all((view.blur, view.jitter, view.grayscale, view.flip) == (0.0, 0.8, 0.2, 0.5) for view in views), name


def test_views_of_stronger_colors():
    """Those of SwAV and W-MSE: smallest area, blur of both views."""
    for name, area, blur in (("cifar10-swav", 0.08, 0.5), ("cifar10-wmse", 0.2, 0.0)):
        augment = load_recipe(name).augment
        assert (augment.brightness, augment.contrast, augment.saturation, augment.hue) == (0.8, 0.8, 0.8, 0.2)
        assert augment.area == (area, 1.0)
        for view in (augment.view_a, augment.view_b):
            assert (view.blur, view.solarize, view.jitter, view.grayscale) == (blur, 0.0, 0.8, 0.2)


def test_cifar100_is_cifar10_with_other_images():
    changed = [line.partition(":")[0] for line in recipe_differences(load_recipe("cifar10"), load_recipe("cifar100"))]
    assert changed == ["data.source", "augment.mean", "augment.std"]


def test_other_data_sets():
    stl, nette, hundred = (load_recipe(name) for name in ("stl10", "imagenette", "imagenet100"))
    assert [recipe.augment.size for recipe in (stl, nette, hundred)] == [96, 128, 224]
    assert [recipe.train.epochs for recipe in (stl, nette, hundred)] == [500, 800, 400]
    assert (stl.augment.brightness, stl.augment.saturation, stl.augment.hue) == (0.8, 0.8, 0.2)
    rate = nette.optimizer
    assert (rate.name, rate.learning_rate, rate.weight_decay, rate.warmup_epochs) == ("torch_sgd", 0.06, 5e-4, 0)
    assert (nette.loss.settings["lambd"], nette.augment.view_a.blur, nette.augment.view_b.blur) == (0.005, 0.5, 0.5)
    views = hundred.augment.view_a, hundred.augment.view_b
    assert [(view.blur, view.solarize) for view in views] == [(1.0, 0.0), (0.1, 0.2)]


@pytest.mark.parametrize("name", ["medical-gray", "multispectral"])
def test_images_without_an_upright_keep_what_their_values_say(name):
    recipe = load_recipe(name)
    assert recipe.data.channels != 3 and recipe.data.depth == 16
    assert (recipe.augment.saturation, recipe.augment.hue) == (0.0, 0.0)
    for view in (recipe.augment.view_a, recipe.augment.view_b):
        assert (view.flip, view.vertical_flip, view.turn) == (0.5, 0.5, 1.0)
        assert (view.grayscale, view.solarize) == (0.0, 0.0)
    if name == "multispectral":
        assert (recipe.augment.gain, recipe.augment.offset, recipe.augment.view_a.channel_drop) == (0.2, 0.05, 0.2)
        assert recipe.augment.view_a.jitter == recipe.augment.view_b.jitter == 0.0
