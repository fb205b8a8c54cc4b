"""`barlowtf tune`."""

import json
from pathlib import Path

import click

from .options import data_option, json_option, set_option
from .output import echo
from .tensorflow import start_tensorflow

_MEASURES = ("knn", "probe", "rankme", "lidar", "alpha")


@click.command(short_help="Search for settings, and write the best as a recipe.")
@click.option(
    "--base",
    metavar="NAME|FILE",
    default="digits",
    show_default=True,
    help="Recipe around which settings are tried: name of a packaged one, or a TOML file.",
)
@data_option("Training images.", default="data.source of the base recipe")
@set_option("train.epochs=45")
@click.option(
    "--search",
    multiple=True,
    metavar="KEY=RANGE",
    help="What to try: KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=VALUE|VALUE. May be repeated. Default: "
    "optimizer.learning_rate, loss.lambd, model.projector and augment.area around those of the recipe.",
)
@click.option(
    "--score",
    type=click.Choice(_MEASURES),
    default="knn",
    show_default=True,
    help="What makes a trial better: accuracy of kNN or of a linear probe on labeled training images that are held "
    "out, or a measure without labels, which ranks runs badly (docs/is-it-any-good.md). Test images are never used.",
)
@click.option("--trials", type=click.IntRange(min=1), default=27, show_default=True, help="Number of trials.")
@click.option(
    "--budget", metavar="TIME", help="Time after which no other trial starts, such as 60m or 8h. Default: no such time."
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of trials at a time, which share the cores. Default: one for each GPU, without GPUs one.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the search.")
@click.option(
    "--storage",
    metavar="URL",
    help="Database that holds the study, as Optuna takes it. Default: a journal in the folder of --out.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the study, the trials and the results. Default: runs/tune-BASE.",
)
@json_option
def tune(
    base: str,
    source: str | None,
    overrides: tuple[str, ...],
    search: tuple[str, ...],
    score: str,
    trials: int,
    budget: str | None,
    jobs: int | None,
    seed: int,
    storage: str | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Search for settings by successive halving, and write the best as a recipe.

    Each trial is an ordinary run of the base recipe with other settings. After a ninth and a third of the epochs one
    third of the trials goes on, and the others stop. The same command goes on after any end; the same command on
    several machines that share the folder works on one study.

    \b
    Examples:
      barlowtf tune --trials 9
      barlowtf tune --base mine.toml --set train.epochs=90 --budget 8h --jobs 2
      barlowtf tune --search optimizer.learning_rate=0.001:0.1:log --search "train.batch_size=64|128|256"
      barlowtf pretrain --config runs/tune-digits/best.toml
    """
    if budget is not None:
        from barlowtf.config.durations import parse_budget

        parse_budget(budget)
    settings = overrides if source is None else (*overrides, f"data.source={json.dumps(source)}")
    folder = out or Path("runs") / f"tune-{Path(base).stem}"
    start_tensorflow()
    from barlowtf import experiment

    record = experiment.tune(
        experiment.TuneRequest(
            base,
            folder,
            settings,
            search,
            score,
            trials=trials,
            budget=budget,
            jobs=jobs,
            seed=seed,
            storage=storage,
        )
    )
    if as_json:
        echo(json.dumps(record.model_dump(mode="json"), indent=2))
        return
    if record.best is None:
        raise click.ClickException(f"No trial has finished: see {folder / 'trials'}.")
    best = next(trial for trial in record.trials if trial.number == record.best)
    counts = [trial.state for trial in record.trials]
    echo(f"trials      {len(counts)}: {', '.join(f'{counts.count(s)} {s}' for s in dict.fromkeys(counts))}")
    echo(f"best        trial {best.number}, {score} {best.score:.4g}, which is the best of many and so too high")
    for key, value in best.settings.items():
        echo(f"            {key} = {value}")
    echo(f"next        barlowtf pretrain --config {record.recipe}")
