"""Types of options that name data or an encoder: what is not there is an error at once, before TensorFlow starts."""

import click

from barlowtf import places


class DataSpec(click.ParamType):  # type: ignore[type-arg]
    """A SPEC of a data set."""

    name = "spec"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text; a DataError where it names a path that does not exist."""
        places.require_data(value)
        return value


class EncoderSpec(click.ParamType):  # type: ignore[type-arg]
    """An encoder: a path, a control, or what begins with one of some prefixes."""

    name = "encoder"

    def __init__(self, *prefixes: str) -> None:
        """Takes the prefixes of what is no path."""
        self._prefixes = prefixes

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text; a CheckpointError where there is no such encoder."""
        if not value.startswith(self._prefixes):
            places.require_encoder(value)
        return value


DATA, ENCODER = DataSpec(), EncoderSpec()
