"""What ran where, and with which settings: tables with one column a run."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from barlowtf.report.contents import RunContents, flat_settings
from barlowtf.report.curves import steps_per_epoch
from barlowtf.report.scales import say


@dataclass(frozen=True)
class Setting:
    """One setting of all runs; `differs` where they do not agree."""

    name: str
    values: list[str]
    differs: bool


def describe_runs(runs: list[RunContents]) -> list[tuple[str, list[str]]]:
    """Returns the rows of the first table: a heading, and what each run says."""
    columns = [_describe(run) for run in runs]
    return [(heading, [column[heading] for column in columns]) for heading in columns[0]]


def compare_settings(runs: list[RunContents]) -> list[Setting]:
    """Returns every setting of the recipes."""
    tables = [flat_settings(run.recipe) for run in runs]
    rows = []
    for name in tables[0]:
        values = [_text(table[name]) for table in tables]
        rows.append(Setting(name, values, differs=len(set(values)) > 1))
    return rows


def _describe(run: RunContents) -> dict[str, str]:
    info, recipe = run.info, run.recipe
    data, steps, result, machine = (info.get(key) or {} for key in ("data", "steps", "result", "machine"))
    done = run.metrics[-1]["step"] if run.metrics else 0
    images = f"{data['images']:,} images" if "images" in data else ""
    size, tested, channels = recipe.augment.size, recipe.augment.evaluated_size, recipe.data.channels
    written = run.folder.info if run.folder.info.exists() else run.folder.recipe
    return {
        "Status": str(info.get("status", "not started")),
        "Encoder": f"{recipe.model.encoder}, projector {' – '.join(map(str, recipe.model.projector))}",
        "Parameters": f"{info['parameters']:,}" if "parameters" in info else "",
        "Data": _joined(str(data.get("source", recipe.data.source)), images),
        "Views": f"{size} × {size} × {channels}" + (f", tests {tested} × {tested}" if tested != size else ""),
        "Batch": f"{recipe.train.batch_size:,} images",
        "Epochs": _of(say(round(done / steps_per_epoch(run), 2)), say(recipe.train.epochs)),
        "Steps": _of(f"{done:,}", f"{steps['total']:,}" if "total" in steps else ""),
        "kNN top-1": _knn(run, result),
        "Time": _time(info.get("wall_seconds")),
        "Peak memory": f"{info['peak_memory_bytes'] / 1e9:.2f} GB" if "peak_memory_bytes" in info else "",
        "Last written": datetime.fromtimestamp(written.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Machine": _joined(str(machine.get("processor", "")), _counted(machine.get("cores"), "core"), *_devices(info)),
        "Versions": ", ".join(f"{name} {version}" for name, version in (info.get("versions") or {}).items()),
        "Source commit": str(info.get("git_commit") or ""),
        "Command": str(info.get("command", "")),
    }


def _knn(run: RunContents, result: dict[str, Any]) -> str:
    values = [(record["step"], record["knn_top1"]) for record in run.metrics if record.get("knn_top1") is not None]
    if not values:
        return "" if result.get("knn_top1") is None else f"{100 * result['knn_top1']:.1f} %"
    start = f"{100 * values[0][1]:.1f} % (random encoder) → " if values[0][0] == 0 and len(values) > 1 else ""
    return f"{start}{100 * values[-1][1]:.1f} %"


def _devices(info: dict[str, Any]) -> list[str]:
    devices = [str(device) for device in info.get("devices") or []]
    others = [device for device in dict.fromkeys(devices) if device != "CPU"]
    counted = [f"{devices.count(device)} × {device}" for device in others]
    replicas = info.get("replicas") or 1
    return counted + ([f"{replicas} replicas"] if replicas > 1 else [])


def _of(done: str, total: str) -> str:
    return f"{done} of {total}" if total else done


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _counted(count: int | None, noun: str) -> str:
    return "" if count is None else f"{count} {noun}{'' if count == 1 else 's'}"


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
