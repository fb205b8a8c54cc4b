"""State dicts by the golden formula, an encoder made of one, and PyTorch where it is installed."""

import json
import warnings

import numpy as np
import pytest

from barlowtf.convert import make_models_of, state_dict_of
from barlowtf.models import make_encoder
from tests.weights import randomized


@pytest.fixture(scope="session")
def formula_state(golden, formula_tensor):
    """Function (name of a golden list of names and shapes): such a state dict, by the golden formula."""

    def state(name):
        shapes = json.loads((golden / f"{name}_state_dict.json").read_text())
        with np.load(golden / "resnet50.npz") as recorded:
            salt = int(recorded["salt"])
        return {
            tensor: np.array(7) if tensor.endswith("tracked") else formula_tensor(tensor, shape, salt)
            for tensor, shape in shapes.items()
        }

    return state


@pytest.fixture(scope="session")
def resnet50_models(formula_state):
    """The authors' whole ResNet-50 model, whose encoder has the weights of golden/resnet50.npz."""
    whole = formula_state("barlow_twins")
    whole |= {f"backbone.{name}": value for name, value in formula_state("resnet50").items()}
    return make_models_of({"model": {f"module.{name}": value for name, value in whole.items()}})


@pytest.fixture(scope="session")
def torch():
    with warnings.catch_warnings():
        # Its import warns of its own surroundings.
        warnings.simplefilter("ignore")
        return pytest.importorskip("torch")


@pytest.fixture(scope="session")
def resnet():
    return randomized(make_encoder("resnet10_w0p0625", image_shape=(None, None, 3), stem="imagenet", dtype="float32"))


@pytest.fixture(scope="session")
def resnet_state(resnet):
    """Torchvision's names, batch counters included."""
    return state_dict_of(resnet)
