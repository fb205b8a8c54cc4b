"""`barlowtf convert`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import ConvertRecord


@click.command(short_help="Convert weights between PyTorch and Keras.")
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
    help="From PyTorch: first layers. Default: imagenet where the first kernel is 7x7, small where it is 3x3.",
)
@click.option(
    "--projector",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="To PyTorch: .keras file of the projector, to write the authors' whole model.",
)
@json_option
def convert(source: Path, out: Path, stem: str | None, projector: Path | None, as_json: bool) -> None:
    """Convert weights from PyTorch to a .keras file, or back.

    FILE: the authors' resnet50.pth or checkpoint.pth, any ResNet with torchvision's names, .safetensors; or a .keras
    file or a run folder. A projector in FILE is written to NAME.projector.keras, beside --out NAME.keras.

    \b
    Examples:
      barlowtf convert resnet50.pth --out encoder.keras
      barlowtf convert runs/cifar --out resnet.pth
    """
    start_tensorflow()
    from barlowtf.experiment import ConvertRequest
    from barlowtf.experiment import convert as write

    record = write(ConvertRequest(source, out, stem=stem, projector=projector))
    echo(json.dumps(record.model_dump(mode="json"), indent=2) if as_json else _text(on_one_line(record)))


def _text(record: "ConvertRecord") -> str:
    encoder = record.encoder
    about = {
        "encoder": f"{encoder.name}, stem {encoder.stem}, features of width {encoder.feature_width}",
        "projector": "-".join(map(str, record.projector or ())),
    }
    about["state_dict"] = f"{record.tensors} tensors, {about['encoder']}"
    if record.projector:
        about["state_dict"] += f", projector {about['projector']}"
    lines = [(part.replace("state_dict", "weights"), f"{file} ({about[part]})") for part, file in record.files.items()]
    if record.passed_over:
        names = [name for name in record.passed_over if not name.endswith("num_batches_tracked")]
        counters = len(record.passed_over) - len(names)
        names += [f"{counters} counters num_batches_tracked"] if counters else []
        lines.append(("not used", ", ".join(names)))
    lines.append(("recorded", _recorded(record)))
    return "\n".join(f"{label:<12}{text}" for label, text in lines)


def _recorded(record: "ConvertRecord") -> str:
    recorded = record.recorded
    if recorded is None:
        return "no official output for these weights"
    count, height, width, _ = recorded.images
    return (
        f"largest difference of the features {recorded.largest_difference:.1e}, "
        f"{recorded.relative_difference:.1e} of the largest feature "
        f"(official output for these weights, {count} images of {height} x {width})"
    )
