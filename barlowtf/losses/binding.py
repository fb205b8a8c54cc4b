"""A loss with its settings: found by name, checked, and written into a model's configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from pydantic import ValidationError

from barlowtf.config.explaining import as_sentence, explain, in_one_line, shown
from barlowtf.config.schema import LossSection
from barlowtf.config.section import Section
from barlowtf.errors import ConfigError
from barlowtf.losses.contract import TOTAL, Loss, Parts, ViewEmbeddings
from barlowtf.tables import LOSSES


@keras.saving.register_keras_serializable(package="barlowtf")
@dataclass(frozen=True)
class BoundLoss:
    """A loss and its settings; see `bind`.

    Attributes:
        spec: What a recipe calls the loss: a name of `LOSSES`, "package.module:name" or "file.py:name".
        loss: The entry.
        settings: An instance of `loss.settings`.
    """

    spec: str
    loss: Loss
    settings: Section

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms beside the total."""
        return self.loss.terms

    @property
    def parts(self) -> Parts:
        """Extra parts of the model that the loss needs."""
        return self.loss.parts(self.settings)

    def compute(self, views: Sequence[ViewEmbeddings]) -> dict[str, tf.Tensor]:
        """Returns "total" and the terms, float32 scalars of the global batch; see `Loss.compute`.

        Raises:
            ValueError: The loss returns other names than it declares.
        """
        values = dict(self.loss.compute(views, self.settings))
        if set(values) != {TOTAL, *self.terms}:
            raise ValueError(
                f"Invalid loss {self.spec}: received the terms {', '.join(values)}, "
                f"expected {', '.join((TOTAL, *self.terms))}."
            )
        return {name: values[name] for name in (TOTAL, *self.terms)}

    def memory(self, images: int, width: int) -> int:
        """Returns the float32 values at the peak for `images` images of this replica and embeddings of `width`."""
        return self.loss.memory(images, width, self.settings)

    def get_config(self) -> dict[str, Any]:
        """Returns what `from_config` needs."""
        return {"spec": self.spec, "settings": self.settings.model_dump()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BoundLoss":
        """Returns the loss of a `get_config` result."""
        return bind(config["spec"], config["settings"])


def bind(loss: str | Loss, settings: Mapping[str, Any] | None = None) -> BoundLoss:
    """Returns a loss with its settings.

    Args:
        loss: A name of `LOSSES`, "package.module:name", "file.py:name", or an entry. A model with an entry that no name
            leads to can be trained, but not made again from its configuration.
        settings: Keys of the loss's settings; those that are missing take their defaults.

    Raises:
        ConfigError: There is no such loss, or a setting is unknown, of a wrong type or out of range.
    """
    spec, entry = (loss, LOSSES.open(loss)) if isinstance(loss, str) else (loss.name, loss)
    if not isinstance(entry, Loss):
        raise ConfigError(
            f"Invalid loss.name: received {shown(spec)}, a {type(entry).__name__}, expected a losses.Loss."
        )
    # TOML and JSON have lists where settings have tuples.
    fitted = {key: tuple(value) if isinstance(value, list) else value for key, value in (settings or {}).items()}
    try:
        return BoundLoss(spec, entry, entry.settings.model_validate(fitted))
    except ValidationError as error:
        known = [f"loss.{key}" for key in ("name", *entry.settings.model_fields)]
        faults = [
            explain({**dict(item), "loc": ("loss", *item["loc"])}, known, owner=f"loss {spec}{_owners(item['loc'])}")
            for item in error.errors()
        ]
        raise ConfigError(as_sentence(in_one_line(faults))) from error


def _owners(place: tuple[int | str, ...]) -> str:
    """Returns ", a setting of NAME" where other losses have the setting, or ""."""
    owners = [name for name in LOSSES if place and place[0] in LOSSES[name].settings.model_fields]
    return f", a setting of {', '.join(owners)}" if owners else ""


def bind_section(section: LossSection) -> BoundLoss:
    """Returns the loss of a recipe's [loss]; raises as `bind`."""
    return bind(section.name, section.settings)


def settle(section: LossSection) -> LossSection:
    """Returns a recipe's [loss] with every setting of its loss stated; raises as `bind`."""
    return LossSection(name=section.name, **bind_section(section).settings.model_dump())
