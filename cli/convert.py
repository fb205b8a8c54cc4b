"""`barlowtf convert`."""

import json
from os.path import commonprefix
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import json_option
from .output import echo, on_one_line
from .tensorflow import start_tensorflow

if TYPE_CHECKING:
    from barlowtf.records import ConvertRecord

# Names of one module that are shown one by one.
_NAMES_SHOWN = 3


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
    type=click.Choice(["imagenet", "small", "small_padded", "half"]),
    help="From PyTorch: first layers. Default: imagenet where the first kernel is 7x7; where it is 3x3, small_padded "
    "for solo-learn, else small.",
)
@click.option(
    "--projector",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="To PyTorch: .keras file of the projector, to write the authors' whole model.",
)
@click.option(
    "--prefix",
    metavar="PREFIX",
    help="From PyTorch: what stands before the encoder's names, such as module.encoder_k. Default: found in the file.",
)
@json_option
def convert(
    source: Path, out: Path, stem: str | None, projector: Path | None, prefix: str | None, as_json: bool
) -> None:
    """Convert weights from PyTorch to a .keras file, or back.

    FILE: the authors' resnet50.pth or checkpoint.pth, any ResNet with torchvision's names, a checkpoint of another
    project, .safetensors; or a .keras file or a run folder. A projector in FILE is written to NAME.projector.keras,
    beside --out NAME.keras.

    \b
    Examples:
      barlowtf convert resnet50.pth --out encoder.keras
      barlowtf convert runs/cifar --out resnet.pth
    """
    start_tensorflow()
    from barlowtf.experiment import ConvertRequest
    from barlowtf.experiment import convert as write

    record = write(ConvertRequest(source, out, stem=stem, projector=projector, prefix=prefix))
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
    if record.prefix is not None:
        found = record.layout or "by the names of a ResNet"
        lines.append(("layout", f"{found}, behind {record.prefix}" if record.prefix else found))
    if record.passed_over:
        lines.append(("not used", ", ".join(_passed_over(record.passed_over))))
    lines += [("images", _normalization(record)), ("recorded", _recorded(record))]
    return "\n".join(f"{label:<12}{text}" for label, text in lines)


def _passed_over(names: tuple[str, ...]) -> list[str]:
    """Returns names, those of a module that has many as one: "module.encoder_k.* (61 tensors)"."""
    named = [name for name in names if not name.endswith("num_batches_tracked")]
    modules: dict[str, list[str]] = {}
    for name in named:
        modules.setdefault(name.removeprefix("module.").partition(".")[0], []).append(name)
    shown = []
    for members in modules.values():
        if len(members) > _NAMES_SHOWN:
            shown.append(f"{commonprefix(members).rpartition('.')[0]}.* ({len(members)} tensors)")
        else:
            shown += members
    counters = len(names) - len(named)
    return shown + ([f"{counters} counters num_batches_tracked"] if counters else [])


def _normalization(record: "ConvertRecord") -> str:
    """Returns by what images are normalized, which neither kind of file holds."""
    if "state_dict" in record.files:
        return "the file holds no mean and deviation: normalize by augment.mean and augment.std of the recipe"
    others = "--config RECIPE with augment.mean and augment.std"
    if record.encoder.channels != 3:
        return f"the file holds no mean and deviation: add {others} wherever it is used"
    return f"normalized by mean and deviation of ImageNet, as the file holds none; for others add {others}"


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
