"""Results as a Markdown table: one line a protocol, one column an encoder."""

from collections.abc import Iterable
from typing import Any

from barlowtf.config.protocols import PROTOCOLS
from barlowtf.metrics import mean_and_interval

# Measure -> how it is called in the table; in the order in which a line prefers its headline.
_MEASURES = {"top1": "top-1", "mean_average_precision": "mAP", "top5": "top-5", "top1_k200": "top-1, k = 200"}
_HEADLINES = ("top1", "mean_average_precision")


def results_table(results: Iterable[dict[str, Any]]) -> str:
    """Returns the table of some results, Markdown: mean and 95 % interval over the seeds, in percent.

    Results that differ in data, recipe, settings, or number of labels stand on lines of their own.

    Args:
        results: Records, see docs/formats.md.
    """
    results = sorted(results, key=_rank)
    columns = list(dict.fromkeys(_column(result) for result in results))
    lines: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = {}
    for result in results:
        lines.setdefault(_line(result), {}).setdefault(_column(result), []).append(result)
    header = ["protocol", "data", "labels", "measure", *columns, "published"]
    rows = [header, ["---"] * len(header)]
    notes: dict[str, int] = {}
    for line in lines.values():
        first = next(iter(line.values()))[0]
        for measure in (name for name in _MEASURES if any(name in r["scores"] for rs in line.values() for r in rs)):
            cells = [
                percent([r["scores"][measure] for r in line.get(c, []) if measure in r["scores"]]) for c in columns
            ]
            labels = f"{first['labels']:,}"
            title = _title(first)
            published = _published(first, measure, notes)
            rows.append([title, first["data"]["source"], labels, _MEASURES[measure], *cells, published])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return "\n\n".join([table, _legend(results), *(f"[{number}] {text}" for text, number in notes.items())])


def percent(values: list[float]) -> str:
    """Returns "61.2 ± 1.5" for shares in [0, 1] of several runs, "61.2" for one or for equal ones, "–" for none."""
    if not values:
        return "–"
    mean, half = mean_and_interval([100 * value for value in values])
    # Equal to the last digit: nothing is random in it, and "± 0.0" would say that luck had been measured.
    return f"{mean:.1f}" if half is None or len(set(values)) == 1 else f"{mean:.1f} ± {half:.1f}"


def _legend(results: list[dict[str, Any]]) -> str:
    seeds = sorted({result["seed"] for result in results})
    text = "Percent of the test images (mAP: of the area under precision over recall)."
    if len(seeds) > 1:
        text += f" Mean ± 95 % interval over seeds {', '.join(map(str, seeds))} (Student's t)."
    return text


def _title(result: dict[str, Any]) -> str:
    title = result["protocol"]
    if len(PROTOCOLS[title].recipes) > 1:
        title += f" ({result['recipe']})"
    return title + (" *" if result["changed_settings"] else "")


def _published(result: dict[str, Any], measure: str, notes: dict[str, int]) -> str:
    reason, published = result["not_comparable"], (result["published"] or {}).get(measure)
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


def _column(result: dict[str, Any]) -> str:
    encoder = result["encoder"]
    return "random" if encoder["label"] == "random" else encoder["name"]


def _line(result: dict[str, Any]) -> tuple[Any, ...]:
    settings = tuple(result["changed_settings"])
    return (result["protocol"], result["recipe"], result["data"]["source"], result["labels"], settings)


def _rank(result: dict[str, Any]) -> tuple[Any, ...]:
    order = list(PROTOCOLS)
    return (order.index(result["protocol"]), *map(str, _line(result)[1:]), result["encoder"]["label"], result["seed"])
