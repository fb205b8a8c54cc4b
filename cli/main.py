"""The `barlowtf` command: its subcommands, and errors as one line."""

import errno
import json
import os
import re
from typing import Any

import click

from barlowtf import leaving

from .ablate import ablate
from .convert import convert
from .data import data
from .doctor import doctor
from .drift import drift
from .embed import embed
from .evaluate import evaluate
from .export import export
from .hints import setting_hint
from .launch import launch
from .one_line import one_line, short_line
from .options import AS_JSON
from .output import echo
from .predict import predict
from .pretrain import pretrain
from .recipe import recipe
from .report import report
from .search import search
from .signals import ending_by_signals
from .streams import STANDARD_OUTPUT
from .tune import tune
from .verbosity import LOGGER, add_verbosity, start_log


class OneLineErrors(click.Group):
    """A group whose commands turn an error of barlowtf into one line and exit status 1."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Notes whether --json was given: also what is wrong with the other options is then JSON."""
        ctx.meta[AS_JSON] = "--json" in args
        return super().resolve_command(ctx, args)

    def invoke(self, context: click.Context) -> Any:
        """Runs the command."""
        with ending_by_signals():
            return self._invoke(context)

    def _invoke(self, context: click.Context) -> Any:
        from barlowtf.errors import BarlowTFError, Interrupted, LostWorkerError

        try:
            return super().invoke(context)
        except click.ClickException as error:
            failure = _readable(error)
            _print_json(context, type(error).__name__, failure.message)
            raise failure from error
        except Interrupted as error:
            if str(error):
                echo(str(error), err=True)
            # Everything is on the disk, and the sender of the signal waits: batches in preparation are dropped.
            leaving.end(leaving.exit_status(error.signal_number))
        except BarlowTFError as error:
            LOGGER.debug("Where it comes from:", exc_info=True)
            failure = click.ClickException(one_line(str(error)))
            _print_json(context, type(error).__name__, failure.message)
            if not isinstance(error, LostWorkerError):
                raise failure from error
            failure.show()
            # TensorFlow may wait for the lost worker without end when its own threads are closed.
            leaving.end(failure.exit_code)
        except OSError as error:
            # What no command expects of a path: a name too long, a loop of links, a folder that may not be read, a
            # full disk.
            if error.filename in (None, STANDARD_OUTPUT) or error.errno == errno.EPIPE:
                raise
            name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
            message = one_line(f"Cannot use {name}: {error.strerror}.")
            _print_json(context, type(error).__name__, message)
            raise click.ClickException(message) from error
        except Exception as error:
            reason = _reason_of_tensorflow(error)
            if reason is None:
                raise
            _print_json(context, type(error).__name__, reason)
            raise click.ClickException(reason) from error


def _readable(error: click.ClickException) -> click.ClickException:
    """Returns an error of click's as one line, with what a mistaken option may have meant."""
    text = short_line(error.format_message())
    if not isinstance(error, click.UsageError):
        return click.ClickException(text)
    hint = setting_hint(error) if isinstance(error, click.NoSuchOption) else ""
    return click.UsageError(text + hint, error.ctx)


def _print_json(context: click.Context, kind: str, message: str) -> None:
    """Prints an error on standard output where --json was given; the line on standard error stays."""
    if context.meta.get(AS_JSON):
        echo(json.dumps({"error": {"kind": kind, "message": message}}, indent=2))


def _reason_of_tensorflow(error: Exception) -> str | None:
    """Returns what TensorFlow says of a file that it cannot read or write, one line; None: something else failed."""
    from barlowtf.atomic import disk_error

    if not type(error).__module__.startswith("tensorflow.") or disk_error(error) is None:
        return None
    return one_line("Cannot go on: " + re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]", "", str(error)))


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="barlowtf")
def main() -> None:
    """Train an image encoder without labels, measure it, and export it.

    Example: barlowtf pretrain --config digits
    """
    start_log()


for command in (
    *(pretrain, recipe, evaluate, export, embed, predict, search, drift, ablate, tune),
    *(convert, report, data, doctor, launch),
):
    main.add_command(add_verbosity(command))
