"""Writes the notebooks of docs/examples from the scripts beside them.

python docs/notebooks.py [--check | --run]

With --check nothing is written; the exit status is 1 where a notebook differs from what it should be. A notebook keeps
its outputs as long as its code stays the same; --run runs all scripts, which takes some minutes, and stores what they
print.
"""

import io
import json
import linecache
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().with_name("examples")
_MARK, _PROSE = "# %%", "# %% [markdown]"
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def cells_of(script: str) -> list[tuple[str, str]]:
    """Returns the cells of a script in percent form, each "markdown" or "code" and its text."""
    cells: list[tuple[str, list[str]]] = []
    for line in script.splitlines():
        if line in (_MARK, _PROSE):
            cells.append(("markdown" if line == _PROSE else "code", []))
        elif not cells:
            raise ValueError(f"Invalid script: it begins with {line!r}, expected {_MARK!r} or {_PROSE!r}.")
        elif cells[-1][0] == "markdown":
            cells[-1][1].append(line.removeprefix("#").removeprefix(" "))
        else:
            cells[-1][1].append(line)
    return [(kind, "\n".join(lines).strip("\n")) for kind, lines in cells]


def notebook_of(cells: list[tuple[str, str]], printed: list[str]) -> dict[str, Any]:
    """Returns a notebook, nbformat 4.5.

    Args:
        cells: See `cells_of`.
        printed: What each code cell prints, in their order.
    """
    texts = iter(printed)
    return {
        "cells": [
            _prose_cell(number, text) if kind == "markdown" else _code_cell(number, text, next(texts))
            for number, (kind, text) in enumerate(cells, start=1)
        ],
        "metadata": _METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _prose_cell(number: int, text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": f"cell-{number}", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code_cell(number: int, text: str, printed: str) -> dict[str, Any]:
    output = {"name": "stdout", "output_type": "stream", "text": printed.splitlines(keepends=True)}
    return {
        "cell_type": "code",
        "execution_count": None,
        "id": f"cell-{number}",
        "metadata": {},
        "outputs": [output] if printed else [],
        "source": text.splitlines(keepends=True),
    }


def stored_outputs(path: Path, code: list[str]) -> list[str]:
    """Returns what the code cells of a notebook print; nothing where it is missing or holds other code."""
    if path.exists():
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        if ["".join(cell["source"]) for cell in cells] == code:
            return ["".join(line for output in cell["outputs"] for line in output["text"]) for cell in cells]
    return [""] * len(code)


def run_cells(code: list[str]) -> list[str]:
    """Runs the code cells of a script in the current folder; returns what each prints."""
    names: dict[str, Any] = {"__name__": "__main__"}
    printed = []
    for number, cell in enumerate(code, start=1):
        file = f"<cell {number}>"
        # TensorFlow reads the source of a function that it turns into a graph.
        linecache.cache[file] = (len(cell), None, cell.splitlines(keepends=True), file)
        with redirect_stdout(io.StringIO()) as output:
            exec(compile(cell, file, "exec"), names)
        printed.append(output.getvalue())
    return printed


def write(*, check: bool = False, run: bool = False) -> list[str]:
    """Writes the notebooks, or only compares them; returns the names of those that differed."""
    differing = []
    for script in sorted(FOLDER.glob("*.py")):
        cells, path = cells_of(script.read_text(encoding="utf-8")), script.with_suffix(".ipynb")
        code = [text for kind, text in cells if kind == "code"]
        printed = run_cells(code) if run else stored_outputs(path, code)
        text = json.dumps(notebook_of(cells, printed), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(path.name)
            if not check:
                path.write_text(text, encoding="utf-8")
    return differing


if __name__ == "__main__":
    check, run = "--check" in sys.argv[1:], "--run" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        if run:
            os.chdir(folder)  # The scripts write below the current folder.
        names = write(check=check, run=run)
    print(f"{'differ' if check else 'written'}: {', '.join(names) or 'none'}")
    sys.exit(bool(names) and check)
