"""Small faults to put into the code: mutants, drawn by a seed from all that Cosmic Ray could change in an area."""

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine

# Area -> its code, and its tests.
AREAS = {
    "losses": (["barlowtf/losses"], ["tests/losses"]),
    "optim": (["barlowtf/optim"], ["tests/optim"]),
    "augment": (["barlowtf/augment"], ["tests/augment"]),
    "data order": (
        ["barlowtf/data/order.py", "barlowtf/data/two_crop_batches.py"],
        ["tests/data/test_order.py", "tests/data/test_two_crop_batches.py", "tests/data/test_local_crops.py"],
    ),
    "checkpoint": (
        [
            "barlowtf/models/checkpoint.py",
            "barlowtf/train/saver.py",
            "barlowtf/train/best.py",
            "barlowtf/train/last_finite.py",
            "barlowtf/runs.py",
        ],
        ["tests/models/test_checkpoint.py", "tests/test_runs.py", "tests/train"],
    ),
    "records": (["barlowtf/records"], ["tests/records", "tests/report/test_mutated.py"]),
}
_SEED = 0


@dataclass(frozen=True)
class Mutant:
    """One change in one place.

    Attributes:
        area: Key of AREAS.
        file: Of the checkout.
        line: The place's line, from 1.
        operator: Name of Cosmic Ray's operator.
        code: The line before the change.
        mutated: The line after it.
        source: The whole file after it.
    """

    area: str
    file: str
    line: int
    operator: str
    code: str
    mutated: str
    source: str


def draw_mutants(area: str, places: int) -> tuple[list[Mutant], int]:
    """Returns the drawn mutants of an area, and how many places it has."""
    draws = random.Random(f"{_SEED} {area}")
    found: dict[tuple[Path, tuple[int, int]], list[tuple[str, int]]] = {}
    for path in files_of(AREAS[area][0]):
        for place, operator, occurrence in _changes(path.read_text(encoding="utf-8")):
            found.setdefault((path, place), []).append((operator, occurrence))
    order = draws.sample(list(found), len(found))
    mutants: list[Mutant] = []
    for path, place in order:
        operator, occurrence = draws.choice(found[path, place])
        mutant = _mutant(area, path, place, operator, occurrence)
        if mutant is not None:
            mutants.append(mutant)
        if len(mutants) == places:
            break
    return mutants, len(found)


def files_of(names: list[str]) -> Iterator[Path]:
    """Yields the Python files that files and folders of the checkout hold."""
    for name in names:
        path = machine.ROOT / name
        yield from sorted(path.rglob("*.py")) if path.is_dir() else [path]


def _changes(source: str) -> Iterator[tuple[tuple[int, int], str, int]]:
    """Yields (line and column, operator, occurrence) of what Cosmic Ray can change outside annotations."""
    import parso
    from cosmic_ray.ast import ast_nodes
    from cosmic_ray.operators.provider import OperatorProvider

    passed_over = _annotations(source)
    provider, tree = OperatorProvider(), parso.parse(source)
    for name in provider:
        # These two want arguments.
        if name in ("VariableReplacer", "VariableInserter"):
            continue
        occurrence = 0
        for node in ast_nodes(tree):
            for start, _ in provider[name]().mutation_positions(node):
                if not any(first <= start < last for first, last in passed_over):
                    yield start, name, occurrence
                occurrence += 1


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Returns where annotations begin and end."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.arg | ast.AnnAssign):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            found.append(node.returns)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


def _mutant(area: str, path: Path, place: tuple[int, int], operator: str, occurrence: int) -> Mutant | None:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.operators.provider import OperatorProvider

    source = path.read_text(encoding="utf-8")
    try:
        mutated = mutate_code(source, OperatorProvider()[operator](), occurrence)
    except AttributeError:
        # Cosmic Ray's own, on `except module.Error`.
        return None
    if mutated is None or mutated == source:
        return None
    try:
        compile(mutated, str(path), "exec")
    except SyntaxError:
        # The star before keyword-only arguments is no product, for one.
        return None
    before, after = source.splitlines(), mutated.splitlines()
    at = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), place[0] - 1)
    file = str(path.relative_to(machine.ROOT))
    return Mutant(area, file, at + 1, operator, before[at].strip(), after[at].strip(), mutated)
