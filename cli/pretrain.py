"""`barlowtf pretrain`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import JSON_OPTION, recipe_options, strategy_options
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import RunInfo


@click.command(short_help="Learn an encoder from images without labels.")
@recipe_options
@click.option("--run-dir", type=click.Path(path_type=Path), help="The run folder. Default: runs/NAME of the recipe.")
@strategy_options
@click.option("--dry-run", is_flag=True, help="Show recipe, sizes, steps, memory and rates; train nothing.")
@JSON_OPTION
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
    """Learn an encoder from images without labels, by Barlow Twins.

    The same command on the same run folder resumes an unfinished run.

    \b
    Examples:
      barlowtf pretrain --config digits
      barlowtf pretrain --config cifar10 --data cifar10/ --run-dir runs/first
      barlowtf pretrain --config imagenet-b256 --strategy mirrored --set optimizer.learning_rate=0.3 --dry-run
      barlowtf launch --workers 2 -- pretrain --config digits --run-dir runs/rehearsal

    \b
    Ctrl-C and SIGTERM finish the step, save and exit with 130 and 143; in a SLURM job SIGUSR1 requeues as well.
    """
    from barlowtf.config import dump_recipe, load_recipe

    if source is not None:
        overrides = (*overrides, f"data.source={json.dumps(source)}")
    recipe = load_recipe(config, overrides)

    start_tensorflow()
    from barlowtf import experiment

    if dry_run:
        plan = experiment.plan(recipe, strategy=strategy, replicas=replicas)
        text = f"{dump_recipe(recipe)}\n{_describe_plan(plan)}"
        click.echo(json.dumps({"recipe": recipe.model_dump(), "plan": plan}, indent=2) if as_json else text)
        return
    folder = run_dir or Path("runs") / Path(config).stem
    info = experiment.pretrain(recipe, folder, strategy=strategy, replicas=replicas)
    if info is not None:  # None on a worker that is not the chief
        click.echo(
            json.dumps({"run": str(folder), **info.model_dump(mode="json")}, indent=2)
            if as_json
            else _describe_result(folder, info)
        )


def _describe_plan(plan: dict[str, Any]) -> str:
    memory = plan["memory_bytes_per_replica"]
    parts = ", ".join(f"{name} {value / 1e9:.2f}" for name, value in memory.items())
    return "\n".join(
        (
            f"images      {plan['images']:,}{'' if plan['labels'] else ', no labels: no kNN accuracy'}",
            f"steps       {plan['total_steps']:,} = {plan['steps_per_epoch']:,} an epoch; "
            f"{plan['unseen_per_epoch']:,} images an epoch left out",
            f"parameters  encoder {plan['encoder_parameters']:,}, projector {plan['projector_parameters']:,}",
            f"peak rates  weights {plan['peak_learning_rate']:.5g}, biases {plan['peak_bias_learning_rate']:.5g}",
            f"memory      about {sum(memory.values()) / 1e9:.2f} GB on each of {plan['replicas']} replicas ({parts}), "
            "and the framework's own",
        )
    )


def _describe_result(folder: Path, info: "RunInfo") -> str:
    result = info.result
    lines = [f"run         {folder}"]
    if result.knn_top1 is not None:
        before, after = 100 * (result.knn_top1_random_encoder or 0.0), 100 * result.knn_top1
        lines.append(f"kNN top-1   {before:.1f} % (random encoder) -> {after:.1f} % (trained)")
    lines += [
        f"encoder     {folder / 'encoder.keras'}",
        f"time        {info.wall_seconds:.0f} s, {result.images_per_second_median} images/s, "
        f"peak memory {info.peak_memory_bytes / 1e9:.2f} GB",
        f"next        tensorboard --logdir {folder}",
    ]
    return "\n".join(lines)
