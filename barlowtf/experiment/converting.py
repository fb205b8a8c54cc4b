"""`barlowtf convert`: PyTorch's files to `.keras` files, and back."""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from barlowtf import runs
from barlowtf.convert import compare_with_recorded, make_models_of, read_tensors, state_dict_of, write_tensors
from barlowtf.encoders.loading import load_keras
from barlowtf.errors import CheckpointError, ConfigError, ConversionError
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_TORCH = (".pth", ".pt", ".safetensors")
# Kernel size and stride of the first convolution -> stem.
_STEMS = {(7, 2): "imagenet", (3, 1): "small", (3, 2): "half"}


def convert(source: str | Path, out: Path, *, stem: str | None = None, projector: Path | None = None) -> dict[str, Any]:
    """Converts an encoder, with its projector where there is one.

    Args:
        source: A file of PyTorch or safetensors, with torchvision's names or those of the authors' checkpoint.pth; or,
            for the other direction, a `.keras` file or a run folder.
        out: From PyTorch: `NAME.keras`; a projector goes to `NAME.projector.keras` beside it. To PyTorch: a `.pth`,
            `.pt` or `.safetensors` file.
        stem: From PyTorch: what tensors cannot tell, see `barlowtf.convert.make_models_of`.
        projector: To PyTorch: the `.keras` file of the projector; names are then those of the authors' whole model.

    Returns:
        files (part -> path), encoder (name, stem, channels of its images, feature width, sha256 of its weights),
        projector (its widths, or None), tensors (how many were read or written), passed_over (names of those not
        taken), recorded (largest and relative difference of the features, and shape of the images; or None).

    Raises:
        ConfigError: Source, `out` and options do not go together, or a file to be written is there already.
        CheckpointError: A `.keras` file cannot be read, or a run is unfinished.
        ConversionError: The weights do not fit, or a file cannot be read or written.
        Interrupted: A signal came.

    Nothing is written where it raises.
    """
    source = Path(source)
    if not source.exists():
        raise ConfigError(f"No such file or run: {source}. Expected a .pth, .safetensors or .keras file, or a run.")
    to_torch = source.is_dir() or source.suffix == ".keras"
    if out.suffix not in (_TORCH if to_torch else (".keras",)):
        expected = ".pth, .pt or .safetensors" if to_torch else ".keras"
        raise ConfigError(f"Received {source} and --out {out}. Expected --out to end in {expected}.")
    if not out.parent.is_dir():
        raise ConfigError(f"Cannot write {out}: there is no folder {out.parent}. Make it, or choose another --out.")
    _require_new(out)
    if to_torch and stem is not None:
        raise ConfigError(f"Received --stem {stem} for {source}. It is for files of PyTorch: leave it out.")
    if not to_torch and projector is not None:
        raise ConfigError(f"Received --projector for {source}. A file of PyTorch holds its own: leave it out.")
    with Interruption().listening():
        return _to_torch(source, out, projector) if to_torch else _from_torch(source, out, stem)


def _from_torch(source: Path, out: Path, stem: str | None) -> dict[str, Any]:
    models = make_models_of(source, stem=stem)
    parts = {"encoder": (out, models.encoder)}
    if models.projector is not None:
        parts["projector"] = (runs.projector_beside(out), models.projector)
    targets, recorded = [target for target, _ in parts.values()], _compare(models.encoder)
    with _all_or_none(targets) as places:
        for place, (_, model) in zip(places, parts.values(), strict=True):
            model.save(place)
    taken = sum(len(model.weights) for _, model in parts.values())
    return {
        "files": {name: str(target) for name, (target, _) in parts.items()},
        **_describe(models.encoder, models.projector),
        "tensors": taken + len(models.passed_over),
        "passed_over": list(models.passed_over),
        "recorded": recorded,
    }


def _to_torch(source: Path, out: Path, projector_file: Path | None) -> dict[str, Any]:
    encoder = load_keras(_encoder_file(source))
    projector = None if projector_file is None else load_keras(projector_file)
    try:
        state = state_dict_of(encoder, projector)
        # What was built from the tensors is an encoder that barlowtf knows, and takes images of any size.
        rebuilt = make_models_of(state, stem=_stem_of(encoder))
    except (ValueError, AttributeError, ConversionError) as error:
        with_it = "" if projector_file is None else f" with the projector {projector_file}"
        raise ConversionError(f"{source}{with_it} cannot be written for PyTorch. {error}") from error
    recorded = _compare(rebuilt.encoder)
    with _all_or_none([out]) as (place,):
        write_tensors(place, state)
        written = read_tensors(place)
        if set(written) != set(state) or any(not np.array_equal(written[name], state[name]) for name in state):
            raise ConversionError(f"{out} did not read back as it was written, and was not kept. Try again.")
    facts = _describe(rebuilt.encoder, rebuilt.projector)
    if facts["encoder"]["stem"] != "imagenet":
        stride = encoder.get_layer("conv1").strides[0]
        _LOG.info("conv1 is 3x3 at stride %d and no max pool follows: change a torchvision ResNet so.", stride)
    return {"files": {"state_dict": str(out)}, **facts, "tensors": len(state), "passed_over": [], "recorded": recorded}


def _encoder_file(source: Path) -> Path:
    if not source.is_dir():
        return source
    run = runs.RunFolder(source)
    if not run.recipe.exists():
        raise CheckpointError(f"{source} is no run folder: it holds no recipe.toml. Expected a run or a .keras file.")
    if not run.encoder.exists():
        status = run.status
        raise CheckpointError(
            f"The run {source} has no encoder.keras yet: it is {status}. Resume it with the command that began it."
        )
    return run.encoder


def _stem_of(encoder: keras.Model) -> str:
    first = next((layer for layer in encoder.layers if layer.name == "conv1"), None)
    if first is None:
        raise ValueError("Received a model without the layer conv1. Expected an encoder of barlowtf.")
    shape = (first.kernel_size[0], first.strides[0])
    if shape not in _STEMS:
        raise ValueError(
            f"Received a first convolution of {shape[0]}x{shape[0]} at stride {shape[1]}. Expected 7x7 at stride 2, or "
            "3x3 at stride 1 or 2."
        )
    return _STEMS[shape]


def _describe(encoder: keras.Model, projector: keras.Model | None) -> dict[str, Any]:
    widths = None
    if projector is not None:
        widths = [int(weight.shape[1]) for weight in projector.weights if weight.name == "kernel"]
    return {
        "encoder": {
            "name": encoder.name,
            "stem": _stem_of(encoder),
            "channels": encoder.input_shape[-1],
            "feature_width": encoder.output_shape[-1],
            "sha256": weights_sha256(encoder),
        },
        "projector": widths,
    }


def _compare(encoder: keras.Model) -> dict[str, Any] | None:
    recorded = compare_with_recorded(encoder)
    if recorded is None:
        return None
    return {
        "largest_difference": recorded.largest,
        "relative_difference": recorded.relative,
        "images": list(recorded.images),
    }


def _require_new(target: Path) -> None:
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already and is never overwritten. Choose another --out.")


@contextmanager
def _all_or_none(targets: list[Path]) -> Iterator[list[Path]]:
    """Gives a place aside for each file, and moves them where they belong once all are whole; the first one last."""
    for target in targets:
        _require_new(target)
    try:
        with tempfile.TemporaryDirectory(dir=targets[0].parent, prefix=f".{targets[0].name}-") as aside:
            places = [Path(aside) / target.name for target in targets]
            yield places
            for place in places:
                with open(place, "rb") as file:
                    os.fsync(file.fileno())
            for target in targets:
                _require_new(target)
            for place, target in reversed(list(zip(places, targets, strict=True))):
                os.replace(place, target)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionError(f"Cannot write {targets[0]}: {reason}. Nothing is kept; choose another --out.") from error
