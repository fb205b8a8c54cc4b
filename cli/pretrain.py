"""`barlowtf pretrain`."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.launching import STRATEGIES

from .choosing import budget_option, choices_of, everyday_options, explain_choices, overrides_of
from .given import DATA, INITIAL
from .options import config_option, data_option, json_option, set_option, strategy_options
from .output import echo
from .tensorflow import start_tensorflow
from .verbosity import tell

if TYPE_CHECKING:
    from barlowtf.config import Recipe
    from barlowtf.experiment import Plan
    from barlowtf.experiment.same_images import CheckData
    from barlowtf.records import RunBest, RunInfo, RunResult


# Where one process chooses for all devices.
_CHOOSING_STRATEGIES = ("one", "mirrored")


@click.command(short_help="Train an encoder on images without labels.")
@data_option("Training images.", default="data.source of the recipe")
@config_option("Recipe of the run", default_text="chosen from the images and the machine")
@budget_option
@everyday_options
@set_option("train.seed=1")
@click.option(
    "--init",
    type=INITIAL,
    metavar="ENCODER",
    help="Weights to start from: a finished run, a .keras, .pth, .pt or .safetensors file, or keras:NAME for weights "
    "of keras.applications. Default: model.init of the recipe.",
)
@click.option(
    "--extend",
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="Go on from the last checkpoint of a run, in a new run folder, by its recipe with a new schedule.",
)
@click.option(
    "--labels",
    type=DATA,
    metavar="SPEC",
    help="Labeled images to measure the encoder on while it trains, like --data. Default: monitor.labels of the "
    "recipe, else the training images where they have labels.",
)
@click.option(
    "--run-dir",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run folder. Default: runs/NAME, with the name of the recipe or of the data; with --extend RUN-extended.",
)
@strategy_options(*STRATEGIES)
@click.option(
    "--check-data",
    type=click.Choice(["sample", "full", "off"]),
    default="sample",
    show_default=True,
    help="How the images of a resumed run are compared with those that it began with: by names, sizes and a sample of "
    "the bytes; by all bytes, which are then recorded in the run; off: other images are accepted, if their number "
    "is the same.",
)
@click.option("--dry-run", is_flag=True, help="Print the recipe, sizes, steps, learning rates and memory, and stop.")
@json_option
def pretrain(
    source: str | None,
    config: str | None,
    budget: str | None,
    epochs: int | None,
    batch_size: int | None,
    image_size: int | None,
    encoder: str | None,
    overrides: tuple[str, ...],
    init: str | None,
    extend: Path | None,
    labels: str | None,
    run_dir: Path | None,
    strategy: str,
    replicas: int | None,
    check_data: "CheckData",
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train an encoder on images without labels.

    Without --config the recipe is chosen from the images and the machine, printed with its reasons, and saved in the
    run folder. The same command with the same run folder resumes an unfinished run.

    \b
    Examples:
      barlowtf pretrain --data photos/ --budget 30m
      barlowtf pretrain --config digits
      barlowtf pretrain --config cifar10 --data cifar10/ --run-dir runs/first
      barlowtf pretrain --data photos/ --init runs/first
      barlowtf pretrain --data photos/ --labels labeled/
      barlowtf pretrain --extend runs/first --epochs 200
      barlowtf pretrain --config imagenet-b256 --strategy mirrored --set optimizer.learning_rate=0.3 --dry-run
      barlowtf launch --workers 2 -- pretrain --config digits --run-dir runs/rehearsal

    \b
    Ctrl-C, SIGTERM and a lost connection finish the step, save, and exit with status 130, 143 and 143.
    In a SLURM job SIGUSR1 also requeues the job.
    """
    if extend is not None:
        _require_alone(**{"--config": config, "--init": init, "--budget": budget})
    elif config is None and source is None:
        raise click.UsageError("Nothing to train on. Add --data SPEC for images of your own, or --config NAME.")
    if config is not None and budget is not None:
        raise click.UsageError(
            "--budget is for a recipe that is chosen from the images. Leave out --config, or give --epochs."
        )
    if budget is not None:
        from barlowtf.config.durations import parse_budget

        parse_budget(budget)
    settings = overrides_of(overrides, epochs=epochs, batch_size=batch_size, image_size=image_size, encoder=encoder)
    settings += () if init is None else (f"model.init={json.dumps(init)}",)
    settings += () if labels is None else (f"monitor.labels={json.dumps(labels)}",)
    folder = run_dir or (Path("runs") / _run_name(config, source) if extend is None else Path(f"{extend}-extended"))
    named = None if extend is not None else _named_recipe(config, source, settings, folder, budget)
    if named is None and extend is None and strategy not in _CHOOSING_STRATEGIES:
        raise click.UsageError(
            f"Every worker would choose a recipe of its own with --strategy {strategy}. Write one on one of them, "
            "barlowtf recipe --data SPEC > mine.toml, and add --config mine.toml."
        )

    start_tensorflow()
    from barlowtf import experiment
    from barlowtf.config import dump_recipe
    from barlowtf.downloads import without_downloads

    chosen = None
    with without_downloads() if dry_run else nullcontext():
        if extend is not None:
            recipe = experiment.extended_recipe(extend, _with_source(settings, source), run_dir=folder)
        elif named is not None:
            recipe = named
        else:
            given = (experiment.with_origin(settings), budget, strategy, replicas)
            chosen = experiment.choose_recipe(experiment.ChooseRequest(str(source), *given))
            tell(explain_choices(chosen))
            recipe = chosen.recipe
        timed = None if chosen is None else chosen.seconds_per_step
        request = experiment.PretrainRequest(
            recipe, folder, strategy=strategy, replicas=replicas, check_data=check_data, timed_step_seconds=timed
        )
        plan = experiment.plan(request) if dry_run else None
    if plan is not None:
        choices = [] if chosen is None else choices_of(chosen)
        planned = {"recipe": recipe.model_dump(mode="json"), "choices": choices, "plan": plan.model_dump(mode="json")}
        echo(json.dumps(planned, indent=2) if as_json else f"{dump_recipe(recipe)}\n{_plan_text(plan)}")
        return
    info = experiment.pretrain(request)
    if info.result is not None:  # None on a worker that is not the chief
        values = {"run": str(folder), **info.model_dump(mode="json")}
        echo(json.dumps(values, indent=2) if as_json else _result_text(folder, info, info.result))


def _require_alone(**options: str | None) -> None:
    """Raises UsageError where one of these options is given beside --extend, which brings recipe and weights."""
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(
            f"--extend takes recipe and weights from its run, so {' and '.join(given)} cannot be used with it. Change "
            "settings by --set.",
            click.get_current_context(),
        )


def _with_source(settings: tuple[str, ...], source: str | None) -> tuple[str, ...]:
    return settings if source is None else (*settings, f"data.source={json.dumps(source)}")


def _run_name(config: str | None, source: str | None) -> str:
    """Returns the name of the run folder where none is given."""
    if config is not None:
        return Path(config).stem
    return Path(str(source).rpartition(":")[2].split("*")[0].rstrip("/-_.")).name or "images"


def _named_recipe(
    config: str | None, source: str | None, settings: tuple[str, ...], folder: Path, budget: str | None
) -> "Recipe | None":
    """Returns the recipe that is named, or that the run folder holds already; None where one is to be chosen.

    A run that has saved nothing can only begin anew: for other images or a budget its recipe is chosen anew, too.
    """
    from barlowtf.config import load_recipe
    from barlowtf.places import settled_spec
    from barlowtf.runs import RunFolder

    overrides = _with_source(settings, source)
    if config is not None:
        return load_recipe(config, overrides)
    run = RunFolder(folder)
    if not run.recipe.exists():
        return None
    before = run.read_recipe()
    others = budget is not None or before.data.source != settled_spec(str(source))
    if others and not run.has_saved:
        return None
    text = f"recipe      {run.recipe}, chosen when the run began"
    if budget is not None:
        text += "; for another budget choose another --run-dir, or go on from it with --extend"
    tell(text)
    return load_recipe(run.recipe, overrides)


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
            f"memory      about {sum(memory.values()) / 1e9:.2f} GB on each of {plan.replicas} replicas ({parts})"
            + (
                f", and {plan.host_bytes / 1e9:.2f} for the framework and the copy for saves" if plan.host_bytes else ""
            ),
            *_memory_warnings(sum(memory.values()), plan),
        )
    )


def _memory_warnings(needed: int, plan: "Plan") -> list[str]:
    """Returns the line that says that a step will not fit, where it will not."""
    # Without GPUs, replicas share the machine's memory.
    if needed * (1 if plan.has_gpus else plan.replicas) + plan.host_bytes <= plan.machine_memory_bytes:
        return []
    there = f"{plan.machine_memory_bytes / 1e9:.0f} GB"
    return [f"warning     more than the {there} of this machine: a smaller batch or model, or train.micro_batch"]


def _result_text(folder: Path, info: "RunInfo", result: "RunResult") -> str:
    lines = [f"run         {folder}"]
    if result.knn_top1 is not None:
        lines += _knn_lines(info, result, result.knn_top1)
    if result.verdict is not None:
        lines += [f"verdict     {result.verdict.sentence}", *(f"note        {note}" for note in result.verdict.notes)]
    figures = [f"{info.wall_seconds or 0.0:.0f} s"]
    if result.images_per_second_median is not None:
        figures.append(f"{result.images_per_second_median:.4g} images/s in the steps alone")
    if info.peak_memory_bytes is not None:
        figures.append(f"peak memory {info.peak_memory_bytes / 1e9:.2f} GB")
    lines.append(f"encoder     {folder / 'encoder.keras'}")
    if result.best is not None:
        epoch = result.best.step / info.steps.per_epoch
        lines.append(f"best        {folder / 'best.keras'}, epoch {epoch:.4g}: {_best_value(result, result.best)}")
    lines.append(f"time        {', '.join(figures)}")
    commands = [f"barlowtf report {folder} --out {folder / 'report.html'}"]
    if result.verdict is not None and result.verdict.kind in ("improving", "changing"):
        epochs = info.steps.total // info.steps.per_epoch
        commands.insert(0, f"barlowtf pretrain --extend {folder} --epochs {epochs}")
    lines += [f"{'' if number else 'next':12}{command}" for number, command in enumerate(commands)]
    return "\n".join(lines)


def _best_value(result: "RunResult", best: "RunBest") -> str:
    """Returns the measure of the best epoch, and of kNN how far the last epoch is from it."""
    if best.measure not in ("knn", "probe"):
        return f"{best.measure} {best.value:.4g}"
    if best.measure == "probe" or result.knn_top1 is None:
        return f"{best.measure} {100 * best.value:.1f} %"
    return f"kNN top-1 {100 * best.value:.1f} %, and {100 * result.knn_top1:.1f} % after the last epoch"


def _knn_lines(info: "RunInfo", result: "RunResult", after: float) -> list[str]:
    """Returns the line of the kNN accuracies, and a second one where the training has lowered it."""
    from barlowtf.records.intervals import chance_of_shares

    before, images = result.knn_top1_before, result.knn_images
    of = ""
    if images is not None:
        of = f", {images:,} test images"
        if result.knn_halved:
            of = f", {images:,} labeled images by the votes of the other half: there is no test split"
    if before is None:
        return [f"kNN top-1   {100 * after:.1f} % (trained){of}"]
    kind = "random" if info.init is None and info.parent is None else "initial"
    lines = [f"kNN top-1   {100 * before:.1f} % ({kind} encoder) -> {100 * after:.1f} % (trained){of}"]
    if before - after > (0.0 if images is None else chance_of_shares((before, after), images)):
        lines.append(
            f"            {100 * (before - after):.1f} points lower than before: by these labels the {kind} encoder is "
            "the better one."
        )
    return lines
