"""The public names and their signatures, pinned by equality with api.json beside this file.

After an intended change: `python -m tests.test_api > tests/api.json`, and name the change in CHANGELOG.md.
"""

import importlib
import inspect
import json
import pkgutil
from pathlib import Path

import barlowtf

PINNED = Path(__file__).with_name("api.json")
# What users build on, see docs: module -> names. Of the command's functions, requests and records all.
SIGNATURES = {
    "barlowtf.losses": ["barlow_twins_loss"],
    "barlowtf.optim": ["LARS", "LAMB", "WarmupCosine"],
    "barlowtf.models": ["make_encoder", "make_projector", "BarlowTwins"],
    "barlowtf.encoders": ["load", "Encoder.features"],
    "barlowtf.convert": ["load_torch_weights"],
    "barlowtf.augment": [
        "random_resized_crop",
        "adjust_brightness",
        "adjust_contrast",
        "adjust_saturation",
        "adjust_hue",
        "grayscale",
        "flip",
        "flip_vertically",
        "turn",
        "adjust_channels",
        "drop_channel",
        "gaussian_blur",
        "solarize",
    ],
    "barlowtf.distribute": ["make_strategy"],
    "barlowtf.config": ["load_recipe"],
    "barlowtf.doors": ["load_own", "Table.open"],
}


def exports():
    """Returns the `__all__` of every package, {} entries for none."""
    packages = [module.name for module in pkgutil.walk_packages(barlowtf.__path__, "barlowtf.") if module.ispkg]
    return {
        name: sorted(getattr(importlib.import_module(name), "__all__", [])) for name in ["barlowtf", *sorted(packages)]
    }


def signatures():
    """Returns the signatures as text, by the whole name."""
    experiment = importlib.import_module("barlowtf.experiment")
    names = {**SIGNATURES, "barlowtf.experiment": experiment.__all__}
    found = {}
    for module, attributes in names.items():
        for attribute in attributes:
            value = importlib.import_module(module)
            for part in attribute.split("."):
                value = getattr(value, part)
            found[f"{module}.{attribute}"] = str(inspect.signature(value))
    return found


def surface():
    return {"exports": exports(), "signatures": signatures()}


def test_public_names_and_signatures_are_those_that_are_pinned():
    pinned, found = json.loads(PINNED.read_text()), surface()
    for part in ("exports", "signatures"):
        assert found[part] == pinned[part], "see the head of this file"


def test_every_exported_name_exists():
    for package, names in exports().items():
        module = importlib.import_module(package)
        assert [name for name in names if not hasattr(module, name)] == []


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))
