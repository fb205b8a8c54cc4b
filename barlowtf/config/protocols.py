"""The evaluation protocols: what each one trains, with which settings, and what was published for it.

Sources: arXiv:2103.03230, sections 3 and 4 and appendix A; facebookresearch/barlowtwins evaluate.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from barlowtf.config.explaining import explain
from barlowtf.config.load import override, split_override
from barlowtf.config.section import Count, NonNegative, Positive, Probability, Section
from barlowtf.errors import ConfigError


class Probe(Section):
    """A linear classifier trained by SGD on the encoder, which stays frozen or is trained along."""

    epochs: Count = Field(100, description="passes over the labeled images")
    batch_size: Annotated[int, Field(ge=2)] = Field(256, description="global batch; a smaller data set is one batch")
    learning_rate: Positive = Field(0.3, description="of the head")
    encoder_learning_rate: NonNegative = Field(0.0, description="of the encoder; 0: frozen, in inference mode")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="of both rates, once an epoch")
    drop_epochs: tuple[Count, ...] = Field((), description="steps: after these epochs the rates are multiplied ...")
    drop_factor: Positive = Field(0.1, description="... by this")
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="of SGD, rate outside the buffer")
    weight_decay: NonNegative = Field(1e-6, description="added to the gradient")
    area: tuple[Positive, Positive] = Field((0.08, 1.0), description="range of the crop's share of the image's area")
    aspect: tuple[Positive, Positive] = Field((0.75, 4 / 3), description="range of the crop's width / height")
    flip: Probability = Field(0.5, description="probability of a mirror image")
    report: Literal["best", "last"] = Field("best", description="which epoch's accuracy on the test images is reported")

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.aspect[0] > self.aspect[1]:
            raise ValueError(f"aspect is a range [low, high], received {list(self.aspect)}")
        if self.area[0] > self.area[1] or self.area[1] > 1.0:
            raise ValueError(f"area is a range [low, high] with high <= 1, received {list(self.area)}")
        if self.report == "best" and self.encoder_learning_rate > 0:
            raise ValueError('report = "best" is for a frozen encoder; set it to "last"')
        return self


class Logistic(Section):
    """Multinomial logistic regression on features that are extracted once."""

    penalties: tuple[Positive, ...] = Field(
        (0.01, 0.1, 1.0, 10.0), min_length=1, description="C of scikit-learn; the best on held-out images is taken"
    )
    held_out: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(0.1, description="share held out to choose C")
    max_iterations: Count = Field(200, description="of L-BFGS")


class Neighbors(Section):
    """Weighted vote of the nearest features."""

    neighbors: tuple[Count, ...] = Field((20, 200), min_length=1, description="k; the first one is the headline")
    temperature: Positive = Field(0.07, description="a vote weighs exp(similarity / temperature)")


class SupportVectors(Section):
    """One linear support vector machine a class."""

    costs: tuple[Positive, ...] = Field(
        (0.01, 0.1, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 50.0, 100.0, 1000.0), min_length=1, description="C to choose from"
    )
    folds: Annotated[int, Field(ge=2)] = Field(3, description="of the cross-validation that chooses C")


Settings = Probe | Logistic | Neighbors | SupportVectors


@dataclass(frozen=True)
class Protocol:
    """One way to measure an encoder.

    Attributes:
        name: On the command line.
        recipes: Name of a recipe -> settings; the first is the default.
        fraction: Share of the labels that it may use.
        published: Measure -> value in [0, 1], of the authors' ResNet-50; {} where none is.
        published_data: TensorFlow Datasets' name of the data set that `published` is for; "": it is not among them.
        published_list: sha256 of the file that lists the labeled images that `published` is for; "": all, or no list.
        random: Whether a seed changes anything while the encoder stays the same.
    """

    name: str
    recipes: dict[str, Settings]
    fraction: float = 1.0
    published: tuple[tuple[str, float], ...] = ()
    published_data: str = ""
    published_list: str = ""
    random: bool = True


# Few labels and small images: the published recipes would take a step an epoch, and cut a digit to pieces.
_SMALL: dict[str, Any] = {"epochs": 100, "area": (0.4, 1.0), "flip": 0.0}
_FINE_TUNE: dict[str, Any] = {"epochs": 20, "learning_rate": 0.5, "weight_decay": 0.0, "report": "last"}
_SEMI: dict[str, Settings] = {
    "repository": Probe(encoder_learning_rate=0.005, **_FINE_TUNE),
    "paper": Probe(encoder_learning_rate=0.002, schedule="steps", drop_epochs=(12, 16), drop_factor=0.2, **_FINE_TUNE),
}
_SEMI["small"] = Probe(encoder_learning_rate=0.005, **{**_FINE_TUNE, **_SMALL})
_TRANSFER: dict[str, Any] = {"learning_rate": 0.01, "weight_decay": 5e-4, "schedule": "steps", "report": "last"}
_PLACES = Probe(epochs=14, drop_epochs=(4, 8, 12), **_TRANSFER)
_INAT = Probe(epochs=84, drop_epochs=(24, 48, 72), **_TRANSFER)
_IMAGENET = "imagenet2012"
# The text files of SimCLR, imagenet_subsets/1percent.txt and 10percent.txt.
_SIMCLR_1_PERCENT = "71e82a48ba78252683ae334c4d019ebd5c6e855b9599c1389fbe83eb9549cf17"
_SIMCLR_10_PERCENT = "6d09de11e7bdaf5b1f3b1f249b6183695f97310cdd20f0c03e7235b6b9392091"

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "linear",
            {"repository": Probe(), "small": Probe(**_SMALL)},
            published=(("top1", 0.732), ("top5", 0.91)),
            published_data=_IMAGENET,
        ),
        Protocol("linear-fast", {"barlowtf": Logistic()}),
        Protocol("semi1", _SEMI, 0.01, (("top1", 0.55), ("top5", 0.792)), _IMAGENET, _SIMCLR_1_PERCENT),
        Protocol("semi10", _SEMI, 0.1, (("top1", 0.697), ("top5", 0.893)), _IMAGENET, _SIMCLR_10_PERCENT),
        Protocol("knn", {"barlowtf": Neighbors()}, random=False),
        Protocol(
            "voc07",
            {"paper": SupportVectors()},
            published=(("mean_average_precision_interpolated", 0.862),),
            published_data="voc/2007",
        ),
        Protocol("places205", {"paper": _PLACES}, published=(("top1", 0.541),)),
        Protocol("inat18", {"paper": _INAT}, published=(("top1", 0.465),), published_data="i_naturalist2018"),
        Protocol("transfer", {"paper": _PLACES}),
    )
}


def find_all_settings(
    protocols: Sequence[str], recipe: str | None, overrides: Iterable[str]
) -> dict[str, tuple[str, Settings, list[str]]]:
    """Returns what `find_settings` says of each protocol.

    Args:
        protocols: Keys of `PROTOCOLS`.
        recipe: Taken by those that have it, the others take their first; None: all take their first.
        overrides: See `split_overrides`.

    Raises:
        ConfigError: No protocol has the recipe, or an override does not fit.
    """
    having = [name for name in protocols if recipe in PROTOCOLS[name].recipes]
    if recipe is not None and not having:
        known = dict.fromkeys(key for name in protocols for key in PROTOCOLS[name].recipes)
        raise ConfigError(f"No recipe {recipe!r} for {', '.join(protocols)}. Expected one of {', '.join(known)}.")
    texts = split_overrides(overrides, protocols)
    return {name: find_settings(name, recipe if name in having else None, texts[name]) for name in protocols}


def find_settings(protocol: str, recipe: str | None, overrides: Iterable[str]) -> tuple[str, Settings, list[str]]:
    """Returns the recipe's name, its settings with `key=value` overrides, and a line for each setting that differs.

    Args:
        protocol: Key of `PROTOCOLS`.
        recipe: Key of its recipes; None: the first.
        overrides: Strings `key=value`; keys are those of the protocol's settings.

    Raises:
        ConfigError: Unknown key, wrong type or range.
    """
    recipes = PROTOCOLS[protocol].recipes
    name = recipe or next(iter(recipes))
    published = recipes[name]
    tables: dict[str, Any] = published.model_dump()
    for text in overrides:
        override(tables, text)
    known = type(published)
    fitted = {key: tuple(value) if isinstance(value, list) else value for key, value in tables.items()}
    try:
        settings = known.model_validate(fitted)
    except ValidationError as error:
        lines = "; ".join(explain(dict(item), list(known.model_fields)) for item in error.errors())
        raise ConfigError(f"Settings of protocol {protocol}: {lines}.") from error
    changes = [
        f"{key} = {value} (recipe: {getattr(published, key)})"
        for key, value in settings.model_dump().items()
        if value != getattr(published, key)
    ]
    return name, settings, changes


def split_overrides(overrides: Iterable[str], protocols: Iterable[str]) -> dict[str, list[str]]:
    """Returns the overrides of each protocol: `key=value` is for all that have the key, `PROTOCOL.key=value` for one.

    Raises:
        ConfigError: No protocol that was asked for has the key.
    """
    chosen: dict[str, list[str]] = {name: [] for name in protocols}
    for text in overrides:
        key, value = split_override(text)
        protocol, dot, rest = key.partition(".")
        if dot and protocol in chosen:
            chosen[protocol].append(f"{rest}={value}")
            continue
        takers = [name for name in chosen if key in next(iter(PROTOCOLS[name].recipes.values())).model_dump()]
        if not takers:
            raise ConfigError(
                f"No setting {key!r} in {', '.join(chosen)}. Expected KEY=VALUE or PROTOCOL.KEY=VALUE; "
                "docs/evaluation.md names them."
            )
        for name in takers:
            chosen[name].append(text)
    return chosen
