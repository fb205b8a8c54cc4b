"""`barlowtf export`."""

import json
from pathlib import Path
from typing import Any

import click

from .options import json_option
from .tensorflow import start_tensorflow

_FORMATS = ("saved-model", "tflite", "keras", "onnx", "torch")
_VARIANTS = ("float32", "float16", "dynamic-int8", "int8")


@click.command(short_help="Write an encoder for serving, phones, Keras, ONNX or PyTorch.")
@click.option("--encoder", required=True, metavar="ENCODER", help="A run, a .keras file or a PyTorch file.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(_FORMATS),
    default="saved-model",
    show_default=True,
    help="Of what is written.",
)
@click.option(
    "--head",
    metavar="RESULT",
    help="The classifier of a result: its file, or a protocol that the run was measured by. Default: features alone.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder; the export goes to 1 in it, a later one to 2. Default: exports/FORMAT in the run.",
)
@click.option("--checkpoint", metavar="STEP|latest", help="A saved step of a run, which may be unfinished.")
@click.option("--data", "source", metavar="SPEC", help="Images to compare on. Default: those of the run.")
@click.option("--images", type=click.IntRange(min=1), default=256, show_default=True, help="How many to compare on.")
@click.option(
    "--variant",
    "variants",
    multiple=True,
    type=click.Choice(_VARIANTS),
    help="Of tflite; may be given several times. Default: all.",
)
@click.option(
    "--representative",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Of tflite int8: from how many training images it takes its ranges.",
)
@click.option("--accept-loss", is_flag=True, help="Keep a quantized file that agrees less than asked.")
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@json_option
def export(
    encoder: str,
    file_format: str,
    head: str | None,
    out: Path | None,
    checkpoint: str | None,
    source: str | None,
    images: int,
    variants: tuple[str, ...],
    representative: int,
    accept_loss: bool,
    config: str | None,
    as_json: bool,
) -> None:
    """Write an encoder in a form that other programs load; a fresh process loads it and compares it with its source.

    \b
    saved-model  for TensorFlow Serving: signatures for pixels, JPEG bytes and embeddings, warm-up, README.txt
    tflite       for LiteRT: float32, float16, dynamic-range int8, full-integer int8
    keras        one .keras file that loads without barlowtf
    onnx         one .onnx file
    torch        a state dict with torchvision's names

    \b
    Examples:
      barlowtf export --encoder runs/cifar --head linear-fast
      barlowtf export --encoder runs/cifar --head linear-fast --format tflite --out phone
    """
    start_tensorflow()
    from barlowtf.errors import ExportError
    from barlowtf.experiment import ExportRequest, explain_left_out
    from barlowtf.experiment import export as write

    result = write(
        ExportRequest(
            encoder,
            file_format,
            out=out,
            head=head,
            checkpoint=checkpoint,
            config=config,
            source=source,
            images=images,
            variants=variants or None,
            representative=representative,
            accept_loss=accept_loss,
        )
    )
    click.echo(json.dumps(result, indent=2) if as_json else _table(result))
    if result["left_out"]:
        raise ExportError(explain_left_out(result["left_out"]))


def _table(result: dict[str, Any]) -> str:
    """Returns the figures of each file, one a line, and where all is."""
    lines = [f"{'file':<22}{'MB':>8}{'ms/image':>10}{'difference':>12}{'agreement':>11}{'top-1':>8}"]
    for name, figures in result["files"].items():
        cells = [f"{'SavedModel' if name == '.' else name:<22}{figures['bytes'] / 1e6:8.1f}"]
        cells.append(f"{figures['milliseconds']:10.1f}" if "milliseconds" in figures else f"{'':10}")
        cells.append(f"{figures['largest_difference']['features']:12.2g}")
        for key, width in (("top1_agreement", 11), ("top1", 8)):
            cells.append(f"{100 * figures[key]:{width - 2}.1f} %" if key in figures else " " * width)
        lines.append("".join(cells).rstrip())
    images = result["images"]
    lines.append(f"\ncompared    {images['count']} images of {images['source']}, difference of the features")
    return "\n".join([*lines, f"folder      {result['folder']}", f"record      {result['record']}"])
