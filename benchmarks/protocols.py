"""Keeps the results of `barlowtf evaluate` in a folder as one file, with their table.

Command: python -m benchmarks.protocols FOLDER NAME, e.g. runs/cifar/results cifar10_protocols
"""

import sys
from pathlib import Path
from typing import Any

from barlowtf.evaluation import results_table
from barlowtf.records import read_results
from benchmarks import machine

# Of each result the rest is the same in all, or too long to keep 40 times.
_KEPT = (
    "protocol",
    "variant",
    "changed_settings",
    "encoder",
    "labels",
    "subset",
    "seed",
    "scores",
    "details",
    "seconds",
)


def collect(folder: Path) -> dict[str, Any]:
    """Returns the results in a folder, and per-class accuracy of the first of each protocol."""
    results, faults = read_results(folder)
    if faults or not results:
        raise SystemExit(faults[0] if faults else f"No results in {folder}.")
    records = [result.model_dump(mode="json") for result in results]
    first = records[0]
    per_class = {}
    for record in records:
        name = f"{record['protocol']} ({record['variant']}), {record['encoder']['label']}, seed {record['seed']}"
        if record["seed"] == first["seed"]:
            per_class[name] = record["per_class"]
    return {
        "table": results_table(results).splitlines(),
        "data": first["data"],
        "versions": first["versions"],
        "machine": first["machine"],
        "git_commit": sorted({str(record["git_commit"]) for record in records}),
        "command": sorted({record["command"] for record in records}),
        "results": [{key: record[key] for key in _KEPT} for record in records],
        "per_class": per_class,
    }


if __name__ == "__main__":
    machine.write_result(sys.argv[2], collect(machine.ROOT / sys.argv[1]))
