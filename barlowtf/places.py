"""Files and folders that a user names: what is not there is told before TensorFlow starts."""

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from barlowtf.doors import is_own
from barlowtf.errors import BarlowTFError, CheckpointError, DataError, ExportError
from barlowtf.regular import require_regular
from barlowtf.tables import PROTOCOLS, SOURCES

# Untrained encoders, for comparison; a recipe or another encoder says what they are.
CONTROLS = ("random", "pixels")
ENCODER_FORMS = (
    "a run folder, a .keras file, a SavedModel folder, a .pth or .safetensors file, random (the untrained encoder) or "
    "pixels (the images themselves)"
)
HEAD_FORMS = (
    "a file results/PROTOCOL-*.json of barlowtf evaluate, or one of "
    f"{', '.join(PROTOCOLS)}: the result of it in the run"
)
INITIAL_FORMS = "a finished run folder, a .keras, .pth, .pt or .safetensors file, or keras:NAME"
# Ends of files of PyTorch: of torch.save, of Lightning, of MoCo and SwAV (.pth.tar), and of VISSL.
TORCH_SUFFIXES = (".pth", ".pt", ".ckpt", ".tar", ".torch", ".safetensors")
# Data that a bare name stands for, such as digits; of the others the syntax begins with a prefix or a path.
_NAMES = frozenset(name for name, summary in SOURCES.summaries.items() if summary.partition(",")[0] == name)
# Kinds of data behind whose prefix one file stands.
_FILE_PREFIXES = ("npy:", "table:")
# A folder of more entries is not searched for a similar name.
_MOST_ENTRIES = 10_000
_LONGEST_NAME = 80


def given_path(text: str) -> Path:
    """Returns a path that a user gave, with the home folder for "~"; an unknown user's stays as it is."""
    return Path(os.path.expanduser(text))


def settled_path(text: str) -> str:
    """Returns a path that means the same from every directory; links in it stay."""
    return os.path.abspath(given_path(text))


def settled_own(spec: str) -> str:
    """Returns "file.py:NAME" with a path that means the same from every directory; other names as they are."""
    file, colon, name = spec.rpartition(":")
    return f"{settled_path(file)}:{name}" if colon and file.endswith(".py") and os.path.exists(file) else spec


def settled_spec(spec: str) -> str:
    """Returns a data SPEC that means the same from every directory: `photos/` as the path of that folder."""
    for prefix in (*_FILE_PREFIXES, "tfrecord:"):
        rest = spec.removeprefix(prefix)
        if rest != spec:
            return spec if "://" in rest else prefix + settled_path(rest)
    if spec in _NAMES or not os.path.exists(given_path(spec)):
        return settled_own(spec)
    return settled_path(spec)


def short_specs(specs: Iterable[str]) -> dict[str, str]:
    """Returns SPEC -> what tables call it: without the folders in front, where no other is called the same."""
    short = {spec: short_spec(spec) for spec in specs}
    return {spec: name if list(short.values()).count(name) == 1 else spec for spec, name in short.items()}


def short_spec(spec: str) -> str:
    """Returns what a line calls a SPEC: without the folders in front."""
    if os.path.isabs(spec):
        return os.path.basename(spec.rstrip("/")) or spec
    prefix, colon, path = spec.partition(":")
    is_place = os.path.isabs(path) or "://" in path
    return f"{prefix}{colon}{os.path.basename(path.rstrip('/')) or path}" if is_place else spec


def require_data(spec: str) -> None:
    """Checks that what a SPEC names is there, as far as its path alone tells.

    Raises:
        DataError: It names a file or a folder that does not exist.
    """
    for prefix in _FILE_PREFIXES:
        if spec.startswith(prefix):
            file = given_path(spec.removeprefix(prefix))
            if not os.path.exists(file):
                raise DataError(f"Invalid file {_shown(file)}: it does not exist.{similar_path(file)}")
            _require_regular(file, DataError)
            return
    if not spec or ":" in spec or spec in _NAMES or is_own(spec):
        return
    folder = given_path(spec)
    if not os.path.exists(folder):
        raise DataError(
            f"Invalid folder {_shown(folder)}: it does not exist, expected a folder of images.{similar_path(folder)}"
        )
    _require_regular(folder, DataError)


def require_encoder(spec: str) -> None:
    """Checks that an encoder is there.

    Raises:
        CheckpointError: It is no control, and there is no such file or folder.
    """
    if spec not in CONTROLS and not os.path.exists(spec):
        raise CheckpointError(f"No encoder at {_shown(spec)}. Expected {ENCODER_FORMS}.{similar_path(Path(spec))}")
    if spec not in CONTROLS:
        _require_regular(Path(spec), CheckpointError)


def require_initial(spec: str) -> None:
    """Checks that the weights to start from are there, as far as their path alone tells.

    Raises:
        CheckpointError: There is no such file or folder.
    """
    if not spec.startswith("keras:") and not os.path.exists(given_path(spec)):
        wrong = f"Invalid model.init: received {_shown(spec)!r}, expected {INITIAL_FORMS}."
        raise CheckpointError(f"{wrong}{similar_path(Path(spec))}")
    if not spec.startswith("keras:"):
        _require_regular(given_path(spec), CheckpointError)


def require_head(text: str) -> None:
    """Checks that a head's result is there, as far as its path or the name of a protocol tells.

    Raises:
        ExportError: It is neither a protocol nor a file or folder.
    """
    if text in PROTOCOLS or os.path.exists(text):
        return
    near = difflib.get_close_matches(text, PROTOCOLS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ExportError(f"No result at {_shown(text)}. Expected {HEAD_FORMS}.{meant}")


def require_features(folder: str) -> None:
    """Checks that a folder of features is there.

    Raises:
        CheckpointError: There is no such folder.
    """
    if not os.path.isdir(folder):
        is_file = os.path.exists(folder)
        raise CheckpointError(
            f"Invalid folder {_shown(folder)}: it {'is a file' if is_file else 'does not exist'}, expected the --out "
            f"folder of barlowtf embed.{'' if is_file else similar_path(Path(folder))}"
        )


def require_photo(path: str) -> None:
    """Checks that an image file is there.

    Raises:
        DataError: There is no such file.
    """
    if not os.path.isfile(path):
        nearest = "" if os.path.exists(path) else similar_path(Path(path))
        raise DataError(f"Invalid photo {_shown(path)}: it is no file, expected an image.{nearest}")


def _require_regular(path: Path, kind: type[BarlowTFError]) -> None:
    """Raises an error of barlowtf where a path is neither a file nor a folder."""
    try:
        require_regular(path)
    except OSError as error:
        raise kind(f"Cannot read {path}: {error.strerror}.") from error


def similar_path(path: Path) -> str:
    """Returns " Did you mean 'runs/digits'?" for a path that does not exist, or where it ceases to exist.

    Args:
        path: Does not exist.
    """
    there = next((parent for parent in path.parents if parent.is_dir()), None)
    if there is None:
        return " Check the path."
    name = path.relative_to(there).parts[0]
    try:
        with os.scandir(there) as entries:
            names = [entry.name for entry, _ in zip(entries, range(_MOST_ENTRIES), strict=False)]
    except OSError:
        return " Check the path."
    if name in names:
        return " It is a link that leads nowhere."
    matches = difflib.get_close_matches(name, names, n=1, cutoff=0.7)
    if matches:
        return f" Did you mean {str(there / matches[0])!r}?"
    where = "the current folder" if there == Path(".") else str(there)
    return f" Check the path: there is no {_shown(name, _LONGEST_NAME)} in {where}."


def _shown(path: str | Path, longest: int = 200) -> str:
    """Returns a path for a message; of a long one, which is no path, beginning and end."""
    text = str(path)
    return text if len(text) <= longest else f"{text[: longest // 2]}...{text[-longest // 4 :]}"
