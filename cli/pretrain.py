"""`barlowtf pretrain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.launching import STRATEGIES

from .options import json_option, recipe_options, strategy_options
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.experiment import Plan
    from barlowtf.records import RunInfo, RunResult


@click.command(short_help="Train an encoder on images without labels.")
@recipe_options
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run folder. Default: runs/NAME, with the name of the recipe.",
)
@strategy_options(*STRATEGIES)
@click.option("--dry-run", is_flag=True, help="Print the recipe, sizes, steps, learning rates and memory, and stop.")
@json_option
def pretrain(
    config: str,
    source: str | None,
    overrides: tuple[str, ...],
    run_dir: Path | None,
    strategy: str,
    replicas: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train an encoder on images without labels.

    The same command with the same run folder resumes an unfinished run.

    \b
    Examples:
      barlowtf pretrain --config digits
      barlowtf pretrain --config cifar10 --data cifar10/ --run-dir runs/first
      barlowtf pretrain --config imagenet-b256 --strategy mirrored --set optimizer.learning_rate=0.3 --dry-run
      barlowtf launch --workers 2 -- pretrain --config digits --run-dir runs/rehearsal

    \b
    Ctrl-C and SIGTERM finish the step, save, and exit with status 130 and 143.
    In a SLURM job SIGUSR1 also requeues the job.
    """
    from barlowtf.config import dump_recipe, load_recipe

    if source is not None:
        overrides = (*overrides, f"data.source={json.dumps(source)}")
    recipe = load_recipe(config, overrides)
    folder = run_dir or Path("runs") / Path(config).stem

    start_tensorflow()
    from barlowtf import experiment

    request = experiment.PretrainRequest(recipe, folder, strategy=strategy, replicas=replicas)
    if dry_run:
        plan = experiment.plan(request)
        planned = {"recipe": recipe.model_dump(mode="json"), "plan": plan.model_dump(mode="json")}
        click.echo(json.dumps(planned, indent=2) if as_json else f"{dump_recipe(recipe)}\n{_plan_text(plan)}")
        return
    info = experiment.pretrain(request)
    if info.result is not None:  # None on a worker that is not the chief
        values = {"run": str(folder), **info.model_dump(mode="json")}
        click.echo(json.dumps(values, indent=2) if as_json else _result_text(folder, info, info.result))


def _plan_text(plan: "Plan") -> str:
    memory = plan.memory_bytes_per_replica
    parts = ", ".join(f"{name} {value / 1e9:.2f}" for name, value in memory.items())
    return "\n".join(
        (
            f"images      {plan.images:,}{'' if plan.labels else ', no labels: no kNN accuracy'}",
            f"steps       {plan.total_steps:,} = {plan.steps_per_epoch:,} per epoch; "
            f"{plan.unseen_per_epoch:,} images per epoch left out",
            f"parameters  encoder {plan.encoder_parameters:,}, projector {plan.projector_parameters:,}",
            f"peak rates  weights {plan.peak_learning_rate:.5g}, biases {plan.peak_bias_learning_rate:.5g}",
            f"memory      about {sum(memory.values()) / 1e9:.2f} GB on each of {plan.replicas} replicas ({parts}), "
            "and the framework's own",
        )
    )


def _result_text(folder: Path, info: "RunInfo", result: "RunResult") -> str:
    lines = [f"run         {folder}"]
    if result.knn_top1 is not None:
        before, after = 100 * (result.knn_top1_random_encoder or 0.0), 100 * result.knn_top1
        lines.append(f"kNN top-1   {before:.1f} % (random encoder) -> {after:.1f} % (trained)")
    figures = [f"{info.wall_seconds or 0.0:.0f} s"]
    if result.images_per_second_median is not None:
        figures.append(f"{result.images_per_second_median} images/s")
    if info.peak_memory_bytes is not None:
        figures.append(f"peak memory {info.peak_memory_bytes / 1e9:.2f} GB")
    lines += [
        f"encoder     {folder / 'encoder.keras'}",
        f"time        {', '.join(figures)}",
        f"next        tensorboard --logdir {folder}",
    ]
    return "\n".join(lines)
