"""What ran where, and with which settings: tables with one column a run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from barlowtf.config import flat_settings
from barlowtf.records import RunInfo
from barlowtf.report.contents import RunContents
from barlowtf.report.curves import steps_per_epoch
from barlowtf.report.numbers import format_number


@dataclass(frozen=True)
class Setting:
    """One setting of all runs; `differs` where they do not agree."""

    name: str
    values: list[str]
    differs: bool


def describe_runs(runs: list[RunContents]) -> list[tuple[str, list[str]]]:
    """Returns the rows of the first table, what the runs are: a heading, and what each run says."""
    return _rows([_describe(run) for run in runs])


def describe_origins(runs: list[RunContents]) -> list[tuple[str, list[str]]]:
    """Returns the rows of the last table: by which command, versions and machine the runs came about."""
    return _rows([{} if run.info is None else _surroundings(run.info) for run in runs])


def _rows(columns: list[dict[str, str]]) -> list[tuple[str, list[str]]]:
    headings = max(columns, key=len)
    return [(heading, [column.get(heading, "") for column in columns]) for heading in headings]


def compare_settings(runs: list[RunContents]) -> list[Setting]:
    """Returns every setting of the recipes."""
    tables = [flat_settings(run.recipe) for run in runs]
    rows = []
    for name in dict.fromkeys(name for table in tables for name in table):
        values = [_text(table[name]) if name in table else "" for table in tables]
        rows.append(Setting(name, values, differs=len(set(values)) > 1))
    return rows


def _describe(run: RunContents) -> dict[str, str]:
    recipe = run.recipe
    done = run.metrics[-1]["step"] if run.metrics else 0
    size, tested, channels = recipe.augment.size, recipe.augment.evaluated_size, recipe.data.channels
    written = run.folder.info if run.folder.info.exists() else run.folder.recipe
    epochs = format_number(round(done / steps_per_epoch(run), 2))
    return {
        "Status": run.status,
        "Encoder": f"{recipe.model.encoder}, projector {' – '.join(map(str, recipe.model.projector))}",
        "Parameters": "" if run.info is None else f"{run.info.parameters:,}",
        "Data": recipe.data.source if run.info is None else f"{run.info.data.source}, {run.info.data.images:,} images",
        "Views": f"{size} × {size} × {channels}" + (f", tests {tested} × {tested}" if tested != size else ""),
        "Starts from": "" if run.info is None else _origin(run.info),
        "Batch": f"{recipe.train.batch_size:,} images",
        "Epochs": f"{epochs} of {format_number(recipe.train.epochs)}",
        "Steps": f"{done:,}" if run.info is None else f"{done:,} of {run.info.steps.total:,}",
        "kNN top-1": _knn(run),
        "Time": "" if run.info is None else _time(run.info.wall_seconds),
        "Last written": datetime.fromtimestamp(written.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _origin(info: RunInfo) -> str:
    if info.parent is not None:
        return f"{info.parent.run}, step {info.parent.step:,}, with its optimizer"
    if info.init is not None:
        return "; ".join((f"{info.init.spec} ({', '.join(info.init.taken)})", *info.init.adapted))
    return "random weights"


def _surroundings(info: RunInfo) -> dict[str, str]:
    cores = "" if info.machine.cores is None else f"{info.machine.cores} cores"
    return {
        "Peak memory": "" if info.peak_memory_bytes is None else f"{info.peak_memory_bytes / 1e9:.2f} GB",
        "Machine": ", ".join(filter(None, (info.machine.processor, cores, *_devices(info)))),
        "Versions": ", ".join(f"{name} {version}" for name, version in info.versions.items()),
        "Source commit": info.git_commit or "",
        "Command": info.command,
    }


def _knn(run: RunContents) -> str:
    values = [(record["step"], record["knn_top1"]) for record in run.metrics if record.get("knn_top1") is not None]
    if not values:
        return ""
    from_weights = run.info is not None and (run.info.init is not None or run.info.parent is not None)
    kind = "initial" if from_weights else "random"
    start = f"{100 * values[0][1]:.1f} % ({kind} encoder) → " if values[0][0] == 0 and len(values) > 1 else ""
    return f"{start}{100 * values[-1][1]:.1f} %"


def _devices(info: RunInfo) -> list[str]:
    others = [device for device in dict.fromkeys(info.devices) if device != "CPU"]
    counted = [f"{info.devices.count(device)} × {device}" for device in others]
    return counted + ([f"{info.replicas} replicas"] if info.replicas > 1 else [])


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(part) for part in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)
