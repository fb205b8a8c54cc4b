"""Results as a Markdown table: one line a protocol, one column an encoder."""

from collections.abc import Iterable
from typing import Any

from barlowtf.config.protocols import PROTOCOLS
from barlowtf.metrics import mean_and_interval

# Measure -> how it is called in the table; in the order in which a line prefers its headline.
_MEASURES = {
    "top1": "top-1",
    "mean_average_precision": "mAP",
    "mean_average_precision_interpolated": "mAP, interpolated",
    "top5": "top-5",
    "top1_k200": "top-1, k = 200",
}
# Those whose cell says why a published number does not stand there.
_HEADLINES = ("top1", "mean_average_precision_interpolated")


def results_table(results: Iterable[dict[str, Any]]) -> str:
    """Returns the table of some results, Markdown: mean and 95 % interval over the seeds, in percent.

    Results that differ in data, recipe, settings, labels or replicas stand on lines of their own; encoders in columns
    of their own, the untrained ones of one architecture in one. Of two results of one seed the last one counts.

    Args:
        results: Records, see docs/formats.md.
    """
    results = sorted(results, key=_rank)
    columns = _columns(results)
    lines: dict[tuple[Any, ...], dict[str, dict[int, dict[str, Any]]]] = {}
    for result in results:
        lines.setdefault(_line(result), {}).setdefault(_encoder(result), {})[result["seed"]] = result
    header = ["protocol", "data", "labels", "measure", *columns.values(), "published"]
    rows = [header, ["---"] * len(header)]
    notes: dict[str, int] = {}
    for line in lines.values():
        members = [result for seeds in line.values() for result in seeds.values()]
        first = members[0]
        for measure in (name for name in _MEASURES if any(name in result["scores"] for result in members)):
            cells = [_cell(list(line.get(encoder, {}).values()), measure) for encoder in columns]
            published = _published(members, measure, notes)
            labels = f"{first['labels']:,}"
            rows.append([_title(first), first["data"]["source"], labels, _MEASURES[measure], *cells, published])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, _legend(results), *(f"[{number}] {text}" for text, number in notes.items())])


def percent(values: list[float]) -> str:
    """Returns "61.2 ± 1.5" for shares in [0, 1] of several runs, "61.2" for one or for equal ones, "–" for none."""
    if not values:
        return "–"
    mean, half = mean_and_interval([100 * value for value in values])
    # Equal to the last digit: nothing is random in it, and "± 0.0" would say that luck had been measured.
    return f"{mean:.1f}" if half is None or len(set(values)) == 1 else f"{mean:.1f} ± {half:.1f}"


def _cell(results: list[dict[str, Any]], measure: str) -> str:
    return percent([result["scores"][measure] for result in results if measure in result["scores"]])


def _legend(results: list[dict[str, Any]]) -> str:
    seeds = sorted({result["seed"] for result in results})
    text = "Percent of the test images (mAP: of the area under precision over recall)."
    if len(seeds) > 1:
        text += f" Mean ± 95 % interval over seeds {', '.join(map(str, seeds))} (Student's t)."
    return text


def _title(result: dict[str, Any]) -> str:
    title = result["protocol"]
    if len(PROTOCOLS[title].recipes) > 1:
        title += f" ({result['variant']})"
    if (result["subset"] or {}).get("kind") == "list":
        title += ", list"
    if result["replicas"] > 1:
        title += f", {result['replicas']} replicas"
    return title + (" *" if result["changed_settings"] else "")


def _published(results: list[dict[str, Any]], measure: str, notes: dict[str, int]) -> str:
    """Returns the cell of the published number, which stands there where it is comparable to all trained encoders."""
    result = results[0]
    trained = [each["not_comparable"] for each in results if each["encoder"]["label"] != "random"]
    reasons = trained or [each["not_comparable"] for each in results]
    reason, published = next(filter(None, reasons), None), (result["published"] or {}).get(measure)
    if reason is None and published is not None:
        return f"{100 * published:.1f}"
    if published is None:
        return "–"
    if measure not in _HEADLINES:
        return "not comparable"
    text = f"published: {100 * published:.1f}; {reason}"
    if result["changed_settings"]:
        text += f" (* {'; '.join(result['changed_settings'])})"
    return f"not comparable [{notes.setdefault(text, len(notes) + 1)}]"


def _encoder(result: dict[str, Any]) -> str:
    """Returns what results of one column share: the weights, of untrained encoders the architecture."""
    encoder = result["encoder"]
    return f"{encoder['label']} {encoder['architecture' if encoder['label'] == 'random' else 'sha256']}"


def _columns(results: list[dict[str, Any]]) -> dict[str, str]:
    """Returns the title of each encoder's column; of equal names the hash tells them apart."""
    names = {_encoder(r): "random" if r["encoder"]["label"] == "random" else r["encoder"]["name"] for r in results}
    several = {name for name in names.values() if list(names.values()).count(name) > 1}
    return {key: f"{name} ({key.split()[1][:8]})" if name in several else name for key, name in names.items()}


def _line(result: dict[str, Any]) -> tuple[Any, ...]:
    """Returns what results of one line share."""
    subset = result["subset"] or {}
    return (
        result["protocol"],
        result["variant"],
        result["data"]["source"],
        result["labels"],
        tuple(result["changed_settings"]),
        tuple(sorted(result["data"]["fingerprints"].items())),
        (subset.get("kind"), subset.get("list_sha256")),
        result["replicas"],
    )


def _rank(result: dict[str, Any]) -> tuple[Any, ...]:
    order = list(PROTOCOLS)
    return (order.index(result["protocol"]), *map(str, _line(result)[1:]), result["encoder"]["label"], result["seed"])
