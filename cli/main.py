"""The `barlowtf` command: collects the commands and turns errors into one line."""

import logging
import os
import signal
import sys
from typing import Any, NoReturn

import click

from .convert import convert
from .data import data
from .embed import embed
from .evaluate import evaluate
from .export import export
from .launch import launch
from .pretrain import pretrain
from .report import report


class OneLineErrors(click.Group):
    """A group whose commands end in one line and exit status 1 when barlowtf refuses its input."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the command."""
        from barlowtf.errors import BarlowTFError, Interrupted

        try:
            return super().invoke(context)
        except KeyboardInterrupt:
            _leave(128 + signal.SIGINT)
        except Interrupted as error:
            if str(error):
                click.echo(str(error), err=True)
            _leave(128 + error.signal_number)
        except BarlowTFError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


def _leave(status: int) -> NoReturn:
    """Ends the process at once.

    All is on the disk, and who sent the signal counts seconds: no waiting for the batches under way. And where SIGINT
    came in the middle of an `exec`, as imports have them, Python would end with that signal whatever status is asked.
    """
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="barlowtf")
def main() -> None:
    """Barlow Twins: pre-train an image encoder without labels.

    Example: barlowtf pretrain --config digits
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("barlowtf")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.INFO)
    logger.propagate = False


main.add_command(pretrain)
main.add_command(evaluate)
main.add_command(export)
main.add_command(embed)
main.add_command(convert)
main.add_command(report)
main.add_command(data)
main.add_command(launch)


if __name__ == "__main__":
    main(prog_name="barlowtf")
