"""`barlowtf recipe`."""

import json

import click

from .choosing import budget_option, choices_of, everyday_options, explain_choices, overrides_of
from .options import data_option, json_option, set_option
from .output import echo
from .tensorflow import start_tensorflow
from .verbosity import tell


@click.command(short_help="Choose a recipe for your images, or list the packaged ones.")
@data_option("Training images.")
@budget_option
@everyday_options
@set_option("loss.lambd=0.01")
@click.option("--list", "listed", is_flag=True, help="List the packaged recipes instead.")
@json_option
def recipe(
    source: str | None,
    budget: str | None,
    epochs: int | None,
    batch_size: int | None,
    image_size: int | None,
    encoder: str | None,
    overrides: tuple[str, ...],
    listed: bool,
    as_json: bool,
) -> None:
    """Choose a recipe for your images: look at a sample of them, time a step on this machine, and apply rules.

    The recipe goes to standard output as TOML, the reasons to standard error. With --list: the packaged recipes.

    \b
    Examples:
      barlowtf recipe --data photos/ --budget 30m > mine.toml
      barlowtf recipe --list
    """
    from barlowtf.config import dump_recipe, summarize_recipes

    if listed:
        summaries = summarize_recipes()
        lines = "\n".join(f"{name:<16}{summary}" for name, summary in summaries.items())
        echo(json.dumps(summaries, indent=2) if as_json else lines)
        return
    if source is None:
        raise click.UsageError("Nothing to choose a recipe for. Add --data SPEC, or --list.")
    start_tensorflow()
    from barlowtf import experiment

    settings = overrides_of(overrides, epochs=epochs, batch_size=batch_size, image_size=image_size, encoder=encoder)
    chosen = experiment.choose_recipe(experiment.ChooseRequest(source, settings, budget))
    tell(explain_choices(chosen))
    if as_json:
        values = {
            "recipe": chosen.recipe.model_dump(mode="json"),
            "choices": choices_of(chosen),
            "seconds": chosen.seconds,
            "seconds_per_step": chosen.seconds_per_step,
        }
        echo(json.dumps(values, indent=2))
        return
    reasons = "".join(f"# {line}\n" for line in explain_choices(chosen).splitlines())
    echo(f"{reasons}\n{dump_recipe(chosen.recipe)}", nl=False)
