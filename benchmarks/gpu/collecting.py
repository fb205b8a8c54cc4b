"""From a folder that came back to benchmarks/results/gpu.json, and to an encoder that the command line takes."""

import json
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.gpu.portable.parts import read_parts

_GIB = 2**30


def collect(folder: Path, results: Path) -> dict[str, Any]:
    """Returns what one run on a machine measured, each side with its speed, memory and share of the card's rate.

    Args:
        folder: Of the traced cases.
        results: Folder that came back from the machine.

    Raises:
        FileNotFoundError: The folder holds no cases, or the other one no results.
    """
    traced = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    measured = json.loads((results / "results.json").read_text(encoding="utf-8"))
    rates = measured["machine"].get("rates", {})
    cases = {}
    for name, result in measured["cases"].items():
        facts = traced["cases"][name]
        if facts["kind"] == "training":
            cases[name] = {"case": facts["case"], "recipe": facts["recipe_name"], **result}
        else:
            cases[name] = summarize(facts, result, rates, tf32=traced["tf32"])
    return {
        "gpu_machine": measured["machine"],
        "traced": traced["traced"],
        "tf32": traced["tf32"],
        "cases": cases,
    }


def summarize(facts: dict[str, Any], result: dict[str, Any], rates: dict[str, float], *, tf32: bool) -> dict[str, Any]:
    """Returns one case: its sides, and by how much each program is faster and smaller than PyTorch.

    Args:
        facts: Entry of cases.json.
        result: Entry of results.json.
        rates: The card's rates of matrix products, operations per second.
        tf32: Whether float32 products may round their inputs to TensorFloat-32.
    """
    precision = "bfloat16" if facts["bfloat16"] else "float32" if tf32 else "float32_full"
    sides = {}
    for label, side in result["sides"].items():
        if not side["seconds"]:
            continue
        seconds = machine.median(side["seconds"])
        peak = side["peak_bytes"]
        sides[label] = {
            "median_ms": round(seconds * 1e3, 4),
            "images_per_second": round(facts["images"] / seconds, 1),
            "peak_gib": None if peak is None else round(peak / _GIB, 3),
            "share_of_matmul_rate": round(facts["operations"] / seconds / rates[precision], 4),
            "compile_seconds": side["compile_seconds"],
            "last_result": side["last_result"],
            "raw_ms": [round(value * 1e3, 4) for value in side["seconds"]],
        }
    ours = [label for label in sides if not label.startswith("pytorch")]
    peers = [label for label in sides if label.startswith("pytorch")]
    speed = {f"{a} over {b}": round(sides[b]["median_ms"] / sides[a]["median_ms"], 3) for a in ours for b in peers}
    memory = {
        f"{b} over {a}": round(sides[b]["peak_gib"] / sides[a]["peak_gib"], 3)
        for a in ours
        for b in peers
        if sides[a]["peak_gib"] and sides[b]["peak_gib"]
    }
    return {
        "case": facts["case"],
        "operations": facts["operations"],
        "precision": precision,
        "sides": sides,
        "speed_ratio": speed,
        "memory_ratio": memory,
        "order": result["order"],
        "failures": result["failures"],
        "options": result["options"],
    }


def write_encoder(folder: Path, results: Path) -> Path | None:
    """Joins the parts of the trained encoder to encoder/encoder.keras; returns its path, None where none finished.

    Args:
        folder: Of the traced cases; the encoder goes there.
        results: Folder that came back from the machine.
    """
    from benchmarks.gpu import library

    traced = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    measured = json.loads((results / "results.json").read_text(encoding="utf-8"))
    for name, result in measured["cases"].items():
        if "encoder" in result:
            weights = read_parts(results, result["encoder"])
            return library.save_encoder(traced["cases"][name]["recipe"], weights, folder / "encoder")
    return None


def write_results(file: Path, command: str, content: dict[str, Any]) -> None:
    """Writes a file of results: the command, this machine and its versions, then the content."""
    whole = {"command": command, **machine.describe_machine(), **content}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
