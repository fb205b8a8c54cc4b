"""`barlowtf convert`."""

import json
from pathlib import Path
from typing import Any

import click

from .options import json_option
from .tensorflow import start_tensorflow


@click.command(short_help="PyTorch's weights to a .keras file, and back.")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A .keras file; from a .keras file or a run: a .pth, .pt or .safetensors file.",
)
@click.option(
    "--stem",
    type=click.Choice(["imagenet", "small", "half"]),
    help="From PyTorch: the first layers. Default: imagenet where the first kernel is 7x7, small where it is 3x3.",
)
@click.option(
    "--projector",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="To PyTorch: a .keras file of the projector, to write the authors' whole model.",
)
@json_option
def convert(source: Path, out: Path, stem: str | None, projector: Path | None, as_json: bool) -> None:
    """Turn weights of PyTorch into a .keras file, and back.

    FILE: the authors' resnet50.pth or checkpoint.pth, any ResNet with torchvision's names, .safetensors; or a .keras
    file or a run folder. A projector in FILE goes to NAME.projector.keras, beside --out NAME.keras.

    Example: barlowtf convert resnet50.pth --out encoder.keras

    And back: barlowtf convert runs/cifar --out resnet.pth
    """
    start_tensorflow()
    from barlowtf.experiment import convert as write

    result = write(source, out, stem=stem, projector=projector)
    click.echo(json.dumps(result, indent=2) if as_json else _text(result))


def _text(result: dict[str, Any]) -> str:
    files, encoder = result["files"], result["encoder"]
    about = {
        "encoder": f"{encoder['name']}, stem {encoder['stem']}, features of width {encoder['feature_width']}",
        "projector": "-".join(map(str, result["projector"] or ())),
    }
    about["state_dict"] = f"{result['tensors']} tensors, {about['encoder']}"
    if result["projector"]:
        about["state_dict"] += f", projector {about['projector']}"
    lines = [(part.replace("state_dict", "weights"), f"{file} ({about[part]})") for part, file in files.items()]
    if result["passed_over"]:
        names = [name for name in result["passed_over"] if not name.endswith("num_batches_tracked")]
        counters = len(result["passed_over"]) - len(names)
        names += [f"{counters} counters num_batches_tracked"] if counters else []
        lines.append(("passed over", ", ".join(names)))
    lines.append(("recorded", _recorded(result["recorded"])))
    return "\n".join(f"{label:<12}{text}" for label, text in lines)


def _recorded(recorded: dict[str, Any] | None) -> str:
    if recorded is None:
        return "no official output for these weights"
    count, height, width, _ = recorded["images"]
    return (
        f"largest difference of the features {recorded['largest_difference']:.1e}, "
        f"{recorded['relative_difference']:.1e} of the largest feature "
        f"(official output for these weights, {count} images of {height} x {width})"
    )
