"""Types of options that name data or an encoder: what is not there is an error before TensorFlow starts."""

from collections.abc import Callable

import click

from barlowtf import places

# What is to be checked, in the notes that click keeps for one call.
_CHECKS = "barlowtf.checks"


class Named(click.ParamType):  # type: ignore[type-arg]
    """A text that names something, which is looked for once the whole command line has been understood."""

    def __init__(self, name: str, require: Callable[[str], None]) -> None:
        """Takes what the text is, and what raises where it names nothing."""
        self.name = name
        self._require = require

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text, and notes it for `check_given`."""
        if ctx is not None:
            ctx.meta.setdefault(_CHECKS, []).append((self._require, value))
        return value


DATA = Named("spec", places.require_data)
ENCODER = Named("encoder", places.require_encoder)
INITIAL = Named("encoder", places.require_initial)
HEAD = Named("result", places.require_head)
FEATURES = Named("features", places.require_features)
PHOTO = Named("photo", places.require_photo)


def check_given() -> None:
    """Looks for everything that the command line names.

    Raises:
        BarlowTFError: Something is not there.
    """
    context = click.get_current_context(silent=True)
    for require, value in context.meta.get(_CHECKS, []) if context is not None else []:
        require(value)
