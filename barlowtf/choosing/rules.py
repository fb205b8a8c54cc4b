"""The rules that choose a recipe, in their order: each sees what those before it chose."""

from collections.abc import Mapping
from typing import Any

from barlowtf.choosing.encoder_rules import choose_encoder, choose_projector
from barlowtf.choosing.image_rules import choose_channels, choose_colors, choose_crops, choose_turns, choose_window
from barlowtf.choosing.situation import Choice, Rule, Situation
from barlowtf.choosing.training_rules import choose_batch, choose_optimizer, choose_precision

RULES = (
    Rule(
        "channels",
        choose_channels,
        "1 where every image of the sample is gray, 3 for RGB, else the images' own; 16 bits where they have them; "
        "mean and deviation of a sample",
        "data",
    ),
    Rule(
        "window",
        choose_window,
        "none where the images have an upright; else 2.5 times the distance at which pixels stop resembling each "
        "other, where that is at most 0.6 of the short side",
        "benchmarks/results/symmetry.json",
    ),
    Rule(
        "encoder",
        choose_encoder,
        "by short side (12, 48, 128 pixels) and machine, from a ladder whose rungs cost less and less; the budget "
        "decides how far down",
        "benchmarks/results/cifar10_trials.json, digits_trials.json; solo-learn and Lightly for GPUs",
    ),
    Rule(
        "crops",
        choose_crops,
        "8 to 100 % of the area for photographs on a GPU (the paper), 20 to 100 % for small images and on processors, "
        "40 to 100 % of a window, 85 to 100 % of tiny images",
        "the paper; configs/cifar10-cpu.toml; benchmarks/results/digits_trials.json",
    ),
    Rule(
        "turns",
        choose_turns,
        "mirror images unless left and right differ in the sample; all eight turns and mirror images where there is no "
        "upright; rotation, slant and shift for tiny images",
        "benchmarks/results/symmetry.json, digits_trials.json",
    ),
    Rule(
        "colors",
        choose_colors,
        "the paper's jitter for photographs, half of it without an upright, none of color for images that are not RGB; "
        "blur from 64 pixels on, its sigma in proportion to the view",
        "the paper; solo-learn for CIFAR (no blur)",
    ),
    Rule(
        "batch",
        choose_batch,
        "256 on a GPU; 128, for large images 64, on processors; at most a quarter of the images",
        "configs/cifar10.toml, cifar10-cpu.toml, digits.toml",
    ),
    Rule(
        "projector",
        choose_projector,
        "8192 three times from 100,000 images on, 2048 below; 1024 on processors",
        "the paper; solo-learn",
    ),
    Rule("precision", choose_precision, "mixed_bfloat16 where the devices have it", "benchmarks/results/step.json"),
    Rule(
        "optimizer",
        choose_optimizer,
        "AdamW on processors and for encoders that are not ResNets; on a GPU the authors' LARS by batch, for small "
        "images solo-learn's LARS with a clip",
        "issue 7 of the authors' repository; configs/cifar10.toml",
    ),
)


def apply_rules(situation: Situation) -> dict[str, Choice]:
    """Fills `situation.chosen` and returns the choice of each rule; settings that are given stay.

    Returns:
        {name of the rule: its choice}.
    """
    choices = {}
    for rule in RULES:
        choice = rule.choose(situation)
        kept = {key: situation.given[key] for key in choice.settings if key in situation.given}
        situation.chosen.update({**choice.settings, **kept})
        choices[rule.name] = choice._replace(text=_with_given(choice.text, kept))
    situation.chosen.update(situation.given)
    return choices


def _with_given(text: str, kept: Mapping[str, Any]) -> str:
    given = ", ".join(f"{key} = {value}" for key, value in kept.items())
    return f"{text}; given: {given}" if given else text
