"""Texts that lie beside exports, as Jinja templates."""

import textwrap
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """Returns a template of the folder templates with values filled in; a value that is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("barlowtf.export"),
        autoescape=False,  # plain text, Markdown and text protos, no markup
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["wrap"] = lambda text: textwrap.fill(text, 100)
    return environment.get_template(template).render(**values)
