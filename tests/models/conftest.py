"""Weights by the formula of tests/golden/README.md, under PyTorch's names."""

import pytest

TORCH_WEIGHT = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def torch_name(layer, weight):
    return f"{layer.name.replace('_', '.')}.{TORCH_WEIGHT[weight.name]}"


def torch_shape(weight):
    """[height, width, in, out] -> [out, in, height, width]; [in, out] -> [out, in]."""
    shape = tuple(weight.shape)
    return [*shape[:-3:-1], *shape[:-2]]


@pytest.fixture(scope="session")
def torch_shapes():
    """Function: Keras model -> {PyTorch name: (variable, shape in PyTorch's layout)}."""

    def shapes(model):
        return {
            torch_name(layer, weight): (weight, torch_shape(weight))
            for layer in model.layers
            for weight in layer.weights
        }

    return shapes


@pytest.fixture(scope="session")
def set_formula_weights(torch_shapes, formula_tensor):
    """Function (model, salt, prefix): sets each weight to the formula's value for prefix + its PyTorch name."""

    def set_weights(model, salt, prefix=""):
        for name, (weight, shape) in torch_shapes(model).items():
            value = formula_tensor(prefix + name, shape, salt)
            weight.assign(value.transpose(2, 3, 1, 0) if value.ndim == 4 else value.T)

    return set_weights
