"""Options whose choices are the entries of a table, or a user's own entry."""

from typing import Any

import click

from barlowtf.doors import Table, is_own


class EntryChoice(click.ParamType):  # type: ignore[type-arg]
    """The name of an entry, "package.module:name" or "file.py:name"; nothing is imported."""

    def __init__(self, table: Table[Any]) -> None:
        """Takes the names from a table."""
        self.name = table.kind
        self._table = table

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Returns the names as the help shows them."""
        return f"[{'|'.join(self._table)}|FILE.py:NAME]"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Returns the text; a usage error where it names nothing."""
        if value in self._table or is_own(value):
            return value
        from barlowtf.config.explaining import name_nearest

        return self.fail(
            f"received {value!r}, expected one of {', '.join(self._table)}, or FILE.py:NAME of your own."
            f"{name_nearest(value, self._table)}",
            param,
            ctx,
        )


def list_entries(table: Table[Any]) -> str:
    """Returns the names of a table with their summaries, one a line, for a help text."""
    width = max(len(name) for name in table) + 2
    return "\n".join(f"    {name:<{width}}{summary}" for name, summary in table.summaries.items())
