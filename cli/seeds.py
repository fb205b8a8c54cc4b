"""Seeds on the command line: a list of numbers."""

import click


def parse_seeds(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...] | None:
    """Returns the numbers of a list such as 0,1,2; None for None."""
    if value is None:
        return None
    try:
        seeds = tuple(int(seed) for seed in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 0,1,2.") from error
    if min(seeds) < 0 or max(seeds) >= 2**31 or len(set(seeds)) < len(seeds):
        raise click.BadParameter(f"{value!r}: expected different numbers from 0 to {2**31 - 1}.")
    return seeds
