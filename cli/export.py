"""`barlowtf export`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from barlowtf.places import short_spec
from barlowtf.tables import FORMATS

from .entry import EntryChoice, list_entries
from .given import DATA, ENCODER, HEAD
from .options import json_option, set_option, trust_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import ExportRecord

_HELP = f"""Write an encoder in a form that other programs load, and compare it with its source in a fresh process.

    \b
    Formats:
{list_entries(FORMATS)}

    \b
    Examples:
      barlowtf export --encoder runs/cifar --head linear-fast
      barlowtf export --encoder runs/cifar --head linear-fast --format tflite --out phone
"""


@click.command(help=_HELP, short_help="Write an encoder for serving, phones, Keras, ONNX or PyTorch.")
@click.option(
    "--encoder", type=ENCODER, required=True, metavar="ENCODER", help="A run, a .keras file or a PyTorch file."
)
@click.option(
    "--format",
    "file_format",
    type=EntryChoice(FORMATS),
    default=next(iter(FORMATS)),
    show_default=True,
    help="Format of the files.",
)
@click.option(
    "--head",
    type=HEAD,
    metavar="RESULT",
    help="Classifier to include: a result file, or the name of a protocol that the run was measured by. Default: "
    "features alone.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the versions 1, 2, ... Default: exports/FORMAT in the run.",
)
@click.option("--checkpoint", metavar="STEP|latest|best", help="Checkpoint of a run, which may be unfinished.")
@click.option(
    "--data", "source", type=DATA, metavar="SPEC", help="Images to compare and calibrate on. Default: those of the run."
)
@click.option(
    "--images", type=click.IntRange(min=1), default=256, show_default=True, help="Number of images to compare on."
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="VARIANT",
    help="Variant of the format, for example int8 of tflite; may be given several times. Default: all.",
)
@set_option("layout=nchw; docs/formats.md lists them")
@click.option(
    "--layout",
    metavar="nhwc|nchw",
    help="Order of the axes of the images, of onnx; short for --set layout=. OpenCV and TensorRT take nchw.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Fixed number of images in a call, of onnx and tflite; short for --set batch=. Default: any.",
)
@click.option(
    "--outputs",
    metavar="all|features|probabilities",
    help="What a file gives, of tflite; short for --set outputs=. MediaPipe Tasks take one output. Default: all.",
)
@click.option(
    "--representative",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Number of training images used to calibrate int8.",
)
@click.option("--accept-loss", is_flag=True, help="Keep a quantized file that agrees too little with its source.")
@click.option("--config", metavar="NAME|FILE", help="Recipe of an encoder without one beside it.")
@trust_option
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
    overrides: tuple[str, ...],
    layout: str | None,
    batch: int | None,
    outputs: str | None,
    representative: int,
    accept_loss: bool,
    config: str | None,
    trust: bool,
    as_json: bool,
) -> None:
    """Writes an encoder, see _HELP."""
    start_tensorflow()
    from barlowtf.config import parse_overrides
    from barlowtf.errors import ExportError
    from barlowtf.experiment import ExportRequest, explain_left_out
    from barlowtf.experiment import export as write

    short = {"layout": layout, "batch": batch, "outputs": outputs}
    settings = parse_overrides(overrides) | {name: value for name, value in short.items() if value is not None}
    record = write(
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
            settings=settings,
            representative=representative,
            accept_loss=accept_loss,
            trust=trust,
        )
    )
    echo(json.dumps(record.model_dump(mode="json"), indent=2) if as_json else _table(on_one_line(record)))
    if record.left_out:
        written = [name for name in record.files if name not in record.left_out]
        raise ExportError(explain_left_out(record.left_out, written))


def _table(record: "ExportRecord") -> str:
    """Returns the figures of each file, one a line, and where everything is."""
    lines = [f"{'file':<22}{'MB':>8}{'ms/image':>10}{'difference':>12}{'agreement':>11}{'top-1':>8}"]
    for name, figures in record.files.items():
        cells = [f"{record.format if name == '.' else name:<22}{(figures.bytes or 0) / 1e6:8.1f}"]
        cells.append(f"{'':10}" if figures.milliseconds is None else f"{figures.milliseconds:10.1f}")
        # Features, where the file gives them.
        compared, difference = next(iter(figures.largest_difference.items()))
        cells.append(f"{difference:12.2g}")
        for value, width in ((figures.top1_agreement, 11), (figures.top1, 8)):
            cells.append(" " * width if value is None else f"{100 * value:{width - 2}.1f} %")
        lines.append("".join(cells).rstrip())
    images = record.images
    lines.append(f"\ncompared    {images.count} images of {short_spec(images.source)}, difference of the {compared}")
    return "\n".join([*lines, f"folder      {record.folder}", f"record      {record.record}"])
