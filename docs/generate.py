"""Writes the reference pages from the recipe's schema, the records, the tables and the commands.

python -m docs.generate [--check]

With --check nothing is written; the exit status is 1 where a page differs from what it should be.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from barlowtf_cli.main import main as command_line
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from barlowtf import records, tables
from barlowtf.choosing import RULES
from barlowtf.config import Recipe
from barlowtf.config.grid import Grid, load_grid, named_grids
from barlowtf.experiment.data_findings import DATA_DIAGNOSES
from barlowtf.experiment.diagnosis import Diagnosis
from barlowtf.experiment.machine_diagnoses import MACHINE_DIAGNOSES
from barlowtf.experiment.run_diagnoses import RUN_DIAGNOSES
from barlowtf.report import ablation_table, conclusion
from docs.schema_tables import first_line, keys_table, literal, meaning, members, settings_table, value_text

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
GRID_RESULTS = ROOT / "benchmarks" / "results" / "ablations"
TRIED = ROOT / "benchmarks" / "results" / "encoders.json"
NOTE = "<!-- Written by docs/generate.py: edit the source, then run `make docs`. -->"
FILES = (
    ("run.json", "In the run folder.", records.RunInfo),
    ("Results", "`RUN/results/PROTOCOL-VARIANT-ENCODER-seedS-ID.json`, one measurement each.", records.Result),
    (
        "Records of exports",
        "`RUN/exports/FORMAT-VERSION.json`, or beside the versions of `--out`.",
        records.ExportRecord,
    ),
    ("Manifests of features", "`_embed.json`.", records.EmbedManifest),
    (
        "Images that were passed over",
        "`skipped.jsonl` in a run folder or beside what a command writes, one line each.",
        records.SkippedImage,
    ),
    ("Plans of grids", "`ablation.json` in the folder of `barlowtf ablate`.", records.AblationPlan),
    ("Results of grids", "`results.json` beside it; `plan` is the content of `ablation.json`.", records.AblationRecord),
    ("Results of searches", "`results.json` in the folder of `barlowtf tune`.", records.TuneRecord),
    ("Comparisons of features", "What `barlowtf drift --json` prints.", records.DriftRecord),
    ("Records of predictions", "`FILE.json` beside the file of `barlowtf predict --out`.", records.PredictionRecord),
)


def recipe_page() -> str:
    """Returns every setting of a recipe."""
    parts = [
        "# Every setting of a recipe",
        '`--set section.key=value` sets one. `"none"` stands for no value. [Recipes](../recipes.md) explains some.',
    ]
    for name, field in Recipe.model_fields.items():
        for title, model in _sections(name, field):
            parts.append(f"## {title}\n\n{first_line(model)}\n\n{settings_table(model, f'{name}.')}")
    parts += [f"## {title}\n\n{settings_table(model, 'loss.')}" for title, model in _losses()]
    return _page(parts)


def records_page() -> str:
    """Returns every key of the JSON files."""
    parts = [
        "# Keys of the JSON files",
        "A file that does not hold what is listed here is refused, and the message names file and key.",
    ]
    for title, where, model in FILES:
        parts.append(f"## {title}\n\n{where}\n\n{keys_table(model)}")
    return _page(parts)


def tables_page() -> str:
    """Returns the entries of the five tables."""
    parts = ["# What can be named", "Each table is open to entries of your own: [Extending](../extending.md)."]
    for table in (tables.LOSSES, tables.ENCODERS, tables.PROTOCOLS, tables.FORMATS, tables.SOURCES):
        rows = "\n".join(f"| `{name}` | {summary} |" for name, summary in table.summaries.items())
        parts.append(f"## {table.kind.capitalize()}s\n\n| name | what it is |\n|---|---|\n{rows}")
    return _page(parts)


def protocols_page() -> str:
    """Returns the settings of every protocol in each of its variants."""
    parts = [
        "# Settings of the protocols",
        "`--set KEY=VALUE` or `--set PROTOCOL.KEY=VALUE` of `barlowtf evaluate` changes one, `--variant` all of them. "
        "[Evaluation](../evaluation.md) explains the protocols.",
    ]
    same: dict[str, list[str]] = {}
    for name in tables.PROTOCOLS:
        same.setdefault(_variants_table(tables.PROTOCOLS[name].variants), []).append(name)
    parts += [f"## {', '.join(names)}\n\n{table}" for table, names in same.items()]
    return _page(parts)


def _variants_table(variants: Mapping[str, BaseModel]) -> str:
    """Returns a table of settings with a column for each variant."""
    fields = type(next(iter(variants.values()))).model_fields
    if not fields:
        return "There is nothing to set."
    head = ["setting", *(f"`{name}`" for name in variants), "meaning"]
    rows = []
    for key, field in fields.items():
        values = [f"`{value_text(getattr(one, key))}`" for one in variants.values()]
        rows.append(f"| {' | '.join([f'`{key}`', *values, meaning(field)])} |")
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows])


def encoders_page() -> str:
    """Returns the names of encoders, and what was tried with one of each architecture."""
    names = "\n".join(
        f"| `{name}` | {', '.join(f'`{member}`' for member in tables.ENCODERS[name].members)} |"
        for name in tables.ENCODERS
    )
    text = TRIED.read_text(encoding="utf-8")
    tried = json.loads(text)
    forms = ("saved-model", "float32.tflite", "int8.tflite", "model.onnx", "model.keras")
    rows = "\n".join(_tried_row(name, found, forms) for name, found in tried["encoders"].items())
    columns = ("encoder", "pretrain", "resume", "evaluate", *forms)
    return _page(
        [
            "# Encoders",
            "What they are and which optimizer trains them: [Encoders](../encoders.md).",
            f"## Names\n\n| kind | members |\n|---|---|\n{names}",
            "## Tried from end to end\n\n"
            f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}\n{rows}\n\n"
            f"`{TRIED.relative_to(ROOT)}`: two steps of training, no encoder to use. Resume: number of weights that "
            "differ from those of the unbroken run. Evaluate: whether `knn` and `linear-fast` ran. A file: its largest "
            "difference from the Keras layers, relative to the largest feature; of int8 the least cosine of both "
            "features. `torch` is for ResNets alone.",
        ]
    )


def _tried_row(name: str, found: dict[str, Any], forms: tuple[str, ...]) -> str:
    files = {file: figures for form in found["export"].values() for file, figures in form.get("files", {}).items()}
    cells = [
        f"`{name}`",
        "yes" if found["pretrain"] else "no",
        str(found["resume"]["differing_values"]),
        "yes" if set(found["evaluate"]) == {"knn", "linear-fast"} else "no",
    ]
    for form in forms:
        figures = files.get(form)
        if figures is None:
            cells.append("no")
        elif form == "int8.tflite":
            cells.append(f"cosine {figures['least_cosine']:.3f}")
        else:
            cells.append(f"{figures['relative_difference']:.0e}")
    return f"| {' | '.join(cells)} |"


def commands_page() -> str:
    """Returns the help of every command."""
    parts = ["# Commands", "The text of `barlowtf COMMAND --help`."]
    settings: dict[str, Any] = {**command_line.context_settings, "terminal_width": 120}
    context = click.Context(command_line, info_name="barlowtf", **settings)
    for name, command in _commands(command_line, context):
        inner = click.Context(command, info_name=name, **settings)
        parts.append(f"## {name}\n\n```text\n{command.get_help(inner).strip()}\n```")
    return _page(parts)


def photos_page() -> str:
    """Returns docs/train-on-your-photos.md with its table of rules, the rest as it is."""
    rows = "\n".join(f"| {rule.name} | {rule.summary} | {rule.source} |" for rule in RULES)
    return _with_parts(PHOTOS, {"rules": f"| part | rule | source |\n|---|---|---|\n{rows}"})


def data_page() -> str:
    """Returns docs/data.md with its table of diagnoses, the rest as it is."""
    return _with_parts(DATA, {"data diagnoses": _diagnoses(DATA_DIAGNOSES)})


def doctor_page() -> str:
    """Returns docs/doctor.md with its tables of diagnoses, the rest as it is."""
    tables = {"run diagnoses": _diagnoses(RUN_DIAGNOSES), "machine diagnoses": _diagnoses(MACHINE_DIAGNOSES)}
    return _with_parts(DOCTOR, tables)


def ablations_page() -> str:
    """Returns docs/ablations.md with its tables of grids and of their keys, the rest as it is."""
    grids = {name: load_grid(name) for name in named_grids()}
    rows = "\n".join(
        f"| `{name}` | {grid.question} | {len(grid.every_cell())} | {grid.source} |" for name, grid in grids.items()
    )
    parts = {
        "grids": f"| grid | question | cells | source |\n|---|---|---|---|\n{rows}",
        "grid results": "\n\n".join(map(_grid_result, sorted(GRID_RESULTS.glob("*.json"), key=_grid_order))),
        "grid keys": f"Keys of a grid:\n\n{keys_table(Grid)}".replace(_ANY_VALUE, "values"),
    }
    return _with_parts(ABLATIONS, parts)


def _grid_result(file: Path) -> str:
    """Returns heading, sentence, picture and table of the results of a grid."""
    record = records.read_record(file, records.AblationRecord)
    picture = ROOT / "docs" / "images" / f"ablation-{file.stem}.svg"
    parts = [f"### {record.plan.title}", conclusion(record)]
    if picture.exists():
        parts.append(f"![{record.plan.title}: {record.plan.protocols[-1]} by cell](images/{picture.name})")
    return "\n\n".join([*parts, ablation_table(record), f"`{file.relative_to(ROOT)}`"])


def _grid_order(file: Path) -> tuple[int, str]:
    order = ("table5", "table6", "lambda", "projector", "batch", "augment", "methods")
    return (order.index(file.stem) if file.stem in order else len(order)), file.stem


def _diagnoses(table: Mapping[str, Diagnosis[Any]]) -> str:
    rows = "\n".join(
        f"| {name} | {diagnosis.severity} | {diagnosis.looks_at} | {diagnosis.change} |"
        for name, diagnosis in sorted(table.items(), key=lambda entry: entry[1].severity != "harm")
    )
    return f"| name | | what is found | what to do |\n|---|---|---|---|\n{rows}"


def _with_parts(page: str, parts: Mapping[str, str]) -> str:
    """Returns a page with what stands between its marks of some names exchanged."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    for name, part in parts.items():
        begin, end = f"<!-- {name}: written by docs/generate.py -->", f"<!-- end {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{part}\n{end}{after}"
    return text


PHOTOS, DATA, DOCTOR, ABLATIONS = "../train-on-your-photos.md", "../data.md", "../doctor.md", "../ablations.md"
# Of a setting of any recipe.
_ANY_VALUE = "true or false or integer or number or text or list of integer or list of number or list of text"
PAGES = {
    "recipe.md": recipe_page,
    "records.md": records_page,
    "tables.md": tables_page,
    "encoders.md": encoders_page,
    "protocols.md": protocols_page,
    "commands.md": commands_page,
    PHOTOS: photos_page,
    DATA: data_page,
    DOCTOR: doctor_page,
    ABLATIONS: ablations_page,
}


def _page(parts: list[str]) -> str:
    title, *rest = parts
    return "\n\n".join([title, NOTE, *rest]) + "\n"


def _sections(name: str, field: FieldInfo) -> list[tuple[str, type[BaseModel]]]:
    """Returns the models that a section of the recipe may be, each with its heading."""
    models = [model for model in members(field.annotation) if issubclass(model, BaseModel)]
    if len(models) == 1:
        return [(name, models[0])]
    return [(f"{name}, name = {literal(model, 'name')}", model) for model in models]


def _losses() -> list[tuple[str, type[BaseModel]]]:
    """Returns the settings of each loss; the recipe's own section of it is open."""
    return [(f"loss, name = {name}", tables.LOSSES[name].settings) for name in tables.LOSSES]


def _commands(group: click.Group, context: click.Context, prefix: str = "barlowtf") -> list[tuple[str, click.Command]]:
    found = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += _commands(command, context, f"{prefix} {name}")
        elif command is not None:
            found.append((f"{prefix} {name}", command))
    return found


def write(*, check: bool) -> list[str]:
    """Writes the pages, or only compares them; returns the names of those that differed."""
    FOLDER.mkdir(exist_ok=True)
    differing = []
    for name, make in PAGES.items():
        path, text = FOLDER / name, make()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            differing.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    return differing


if __name__ == "__main__":
    check = "--check" in sys.argv[1:]
    names = write(check=check)
    print(f"{'differ' if check else 'written'}: {', '.join(names) or 'none'}")
    sys.exit(bool(names) and check)
