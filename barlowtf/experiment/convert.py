"""`barlowtf convert`: PyTorch's files to `.keras` files, and back."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from barlowtf import runs
from barlowtf.atomic import whole_files
from barlowtf.convert import compare_with_recorded, make_models_of, read_tensors, state_dict_of, write_tensors
from barlowtf.encoders.loading import finished_encoder, load_keras
from barlowtf.errors import CheckpointError, ConfigError, ConversionError
from barlowtf.models.fingerprint import weights_sha256
from barlowtf.models.stems import stem_of
from barlowtf.records import ConvertedEncoder, ConvertRecord, RecordedComparison
from barlowtf.train.interruption import Interruption

_LOG = logging.getLogger("barlowtf")
_TORCH = (".pth", ".pt", ".safetensors")


@dataclass(frozen=True)
class ConvertRequest:
    """What `barlowtf convert` converts.

    Attributes:
        source: A file of PyTorch or safetensors, with torchvision's names or in a layout of
            `barlowtf.convert.layouts`; or, for the other direction, a `.keras` file or a run folder.
        out: From PyTorch: `NAME.keras`; a projector goes to `NAME.projector.keras` beside it. To PyTorch: a `.pth`,
            `.pt` or `.safetensors` file.
        stem: From PyTorch: what tensors cannot tell, see `barlowtf.convert.make_models_of`.
        projector: To PyTorch: the `.keras` file of the projector; names are then those of the authors' whole model.
        prefix: From PyTorch: what stands before the encoder's names, see `barlowtf.convert.make_models_of`.
    """

    source: Path
    out: Path
    stem: str | None = None
    projector: Path | None = None
    prefix: str | None = None

    @property
    def to_torch(self) -> bool:
        """Whether the result is a file of PyTorch."""
        return self.source.is_dir() or self.source.suffix == ".keras"


def convert(request: ConvertRequest) -> ConvertRecord:
    """Converts an encoder, with its projector where there is one.

    Returns:
        What was read and written.

    Raises:
        ConfigError: Source, `out` and options do not go together, or a file to be written is there already.
        CheckpointError: A `.keras` file cannot be read, or a run is unfinished.
        ConversionError: The weights do not fit, or a file cannot be read or written.
        Interrupted: A signal came.

    Nothing is written where it raises.
    """
    _require_sense(request)
    with Interruption().listening():
        return _to_torch(request) if request.to_torch else _from_torch(request)


def _require_sense(request: ConvertRequest) -> None:
    source, out = request.source, request.out
    if not source.exists():
        raise ConfigError(f"No such file or run: {source}. Expected a .pth, .safetensors or .keras file, or a run.")
    if out.suffix not in (_TORCH if request.to_torch else (".keras",)):
        expected = ".pth, .pt or .safetensors" if request.to_torch else ".keras"
        raise ConfigError(f"Invalid --out: received {out} for {source}, expected a name that ends in {expected}.")
    if not out.parent.is_dir():
        raise ConfigError(f"Cannot write {out}: there is no folder {out.parent}. Make it, or choose another --out.")
    _require_new(out)
    for option, value in (("--stem", request.stem), ("--prefix", request.prefix)):
        if request.to_torch and value is not None:
            raise ConfigError(
                f"Invalid {option}: received {value} for {source}. It is for files of PyTorch; leave it out."
            )
    if not request.to_torch and request.projector is not None:
        raise ConfigError(
            f"Invalid --projector: received {request.projector} for {source}. A file of PyTorch holds its own; leave "
            "it out."
        )


def _from_torch(request: ConvertRequest) -> ConvertRecord:
    out = request.out
    models = make_models_of(request.source, stem=request.stem, prefix=request.prefix)
    parts = {"encoder": (out, models.encoder)}
    if models.projector is not None:
        parts["projector"] = (runs.projector_beside(out), models.projector)
    targets, recorded = [target for target, _ in parts.values()], _compare(models.encoder)
    with _new_files(targets) as places:
        for place, (_, model) in zip(places, parts.values(), strict=True):
            model.save(place)
    taken = sum(len(model.weights) for _, model in parts.values())
    return ConvertRecord(
        files={name: str(target) for name, (target, _) in parts.items()},
        encoder=_describe(models.encoder),
        projector=_widths(models.projector),
        tensors=taken + len(models.passed_over),
        passed_over=models.passed_over,
        layout=models.layout,
        prefix=models.prefix,
        recorded=recorded,
    )


def _to_torch(request: ConvertRequest) -> ConvertRecord:
    source, out = request.source, request.out
    encoder = load_keras(_encoder_file(source))
    projector = None if request.projector is None else load_keras(request.projector)
    try:
        state = state_dict_of(encoder, projector)
        # What was built from the tensors is an encoder that barlowtf knows, and takes images of any size.
        rebuilt = make_models_of(state, stem=stem_of(encoder))
    except (ValueError, AttributeError, ConversionError) as error:
        with_it = "" if projector is None else f" with the projector {request.projector}"
        raise ConversionError(f"{source}{with_it} cannot be written for PyTorch. {error}") from error
    recorded = _compare(rebuilt.encoder)
    with _new_files([out]) as (place,):
        write_tensors(place, state)
        written = read_tensors(place)
        if set(written) != set(state) or any(not np.array_equal(written[name], state[name]) for name in state):
            raise ConversionError(f"{out} did not read back as it was written, and was not kept. Try again.")
    described = _describe(rebuilt.encoder)
    if described.stem != "imagenet":
        stride, zeros = encoder.get_layer("conv1").strides[0], 2 if described.stem == "small_padded" else 1
        _LOG.info(
            "conv1 is 3x3 at stride %d with padding %d and no max pool follows: change a torchvision ResNet so.",
            *(stride, zeros),
        )
    return ConvertRecord(
        files={"state_dict": str(out)},
        encoder=described,
        projector=_widths(rebuilt.projector),
        tensors=len(state),
        passed_over=(),
        layout=None,
        prefix=None,
        recorded=recorded,
    )


def _encoder_file(source: Path) -> Path:
    if not source.is_dir():
        return source
    if not runs.RunFolder(source).recipe.exists():
        raise CheckpointError(
            f"{source} is not a run folder: it holds no recipe.toml. Expected a run or a .keras file."
        )
    return finished_encoder(source)


def _describe(encoder: keras.Model) -> ConvertedEncoder:
    return ConvertedEncoder(
        name=encoder.name,
        stem=stem_of(encoder),
        channels=int(encoder.input_shape[-1]),
        feature_width=int(encoder.output_shape[-1]),
        sha256=weights_sha256(encoder),
    )


def _widths(projector: keras.Model | None) -> tuple[int, ...] | None:
    if projector is None:
        return None
    return tuple(int(weight.shape[1]) for weight in projector.weights if weight.name == "kernel")


def _compare(encoder: keras.Model) -> RecordedComparison | None:
    recorded = compare_with_recorded(encoder)
    if recorded is None:
        return None
    return RecordedComparison(
        largest_difference=recorded.largest, relative_difference=recorded.relative, images=recorded.images
    )


def _require_new(target: Path) -> None:
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already and is never overwritten. Choose another --out.")


@contextmanager
def _new_files(targets: list[Path]) -> Iterator[list[Path]]:
    """Yields a path to write for each file; all become the targets once all are whole."""
    for target in targets:
        _require_new(target)
    try:
        with whole_files(targets, overwrite=False) as places:
            yield places
    except FileExistsError as error:
        raise ConfigError(f"{error.filename} is there already and is never overwritten. Choose another --out.") from (
            error
        )
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ConversionError(f"Cannot write {targets[0]}: {reason}. Nothing is kept; choose another --out.") from error
