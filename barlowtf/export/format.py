"""An entry of the table of export formats: how files of one kind are written, read by others, and compared."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from barlowtf.atomic import write_file
from barlowtf.config.section import Section
from barlowtf.errors import ExportError
from barlowtf.export.about import About
from barlowtf.export.comparison import compare_outputs
from barlowtf.export.network import Parts
from barlowtf.records import FileFigures

CLASS_NAMES_FILE = "class_names.txt"
# What programs may take for the end of a line, or of a text: a name that holds it would move all later ones.
_LINE_BREAK = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
Outputs = dict[str, np.ndarray]


class NoSettings(Section):
    """Of a format that knows none."""


@dataclass(frozen=True)
class Material:
    """What an export is made of.

    Attributes:
        parts: The networks.
        name: Name of the model, as a server calls it.
        encoded: Some images as PNG, for the warm-up of a server.
        variants: Variants of the format to write; those of `Format.variants`, in its order.
        calibration_views: Returns training images, uint8 [M, S, S, C], for variants in `Format.calibrated`.
        settings: An instance of `Format.settings`.
        about: What is known of its origin.
    """

    parts: Parts
    name: str
    encoded: Sequence[bytes]
    variants: tuple[str, ...]
    calibration_views: Callable[[], np.ndarray]
    settings: Any = field(default_factory=NoSettings)
    about: About = field(default_factory=About)


@dataclass(frozen=True)
class Replayed:
    """An exported file, run by a fresh process, beside its source.

    Attributes:
        path: The file or folder.
        parts: What was exported.
        views: Images, uint8 [M, S, S, C].
        labels: Their classes, int64 [M]; None: unknown.
        expected: Outputs of the source, see `barlowtf.export.verification.source_outputs`.
        found: What `Format.read` returned.
        settings: See `Material`.
    """

    path: Path
    parts: Parts
    views: np.ndarray
    labels: np.ndarray | None
    expected: Outputs
    found: Outputs
    settings: Any = field(default_factory=NoSettings)


def compare_replayed(replayed: Replayed) -> dict[str, Any]:
    """Returns the figures of a file that gives features, with a head also logits and probabilities."""
    expected = {name: value for name, value in replayed.expected.items() if name != "embeddings"}
    missing = sorted(set(expected) - set(replayed.found))
    if missing:
        raise ExportError(
            f"{replayed.path.name} gives {', '.join(sorted(replayed.found)) or 'nothing'}, expected also "
            f"{', '.join(missing)}. Nothing was written."
        )
    return compare_outputs(expected, replayed.found, replayed.labels)


@dataclass(frozen=True)
class Format:
    """A format.

    Attributes:
        files: Names of the files that tell a version of this format, patterns of `Path.glob`: ("*.onnx",).
        write: Fills the folder of a version; returns the files to compare, relative to it ("." is the folder), each
            with its precision, a key of `least_agreement`.
        read: `read(path, inputs) -> outputs`, run by a fresh process; see `barlowtf.export.replay` for what it may use.
        compare: Returns the figures of one file, see `compare_outputs`.
        least_agreement: Precision -> least share of the images whose most probable class stays the same, in [0, 1]. A
            file of the precision "float32" must also give the outputs of its source but for rounding, or nothing is
            written; another file that agrees less is left out.
        variants: What --variant chooses from; () where there is one kind of file.
        settings: What --set and the options that stand for it change, with defaults for all.
        calibrated: Variants that take ranges of values from training images.
        check: Raises ExportError where this material cannot be written, before anything is.
        describe: Given material, folder of the version, and the figures of its files, writes what people read of it.
        write_beside: Given the folder of the versions and the name of the model, writes files that all versions share.
        beside: Names of those files.
        packages: Modules that must be installed.
        extra: The extra of barlowtf that installs them.
    """

    files: tuple[str, ...]
    write: Callable[[Material, Path], Mapping[str, str]]
    read: Callable[[str, dict[str, np.ndarray]], Outputs]
    compare: Callable[[Replayed], dict[str, Any]] = compare_replayed
    least_agreement: Mapping[str, float] = field(default_factory=lambda: {"float32": 0.999})
    variants: tuple[str, ...] = ()
    settings: type[Section] = NoSettings
    calibrated: tuple[str, ...] = ()
    check: Callable[[Material], None] = lambda material: None
    describe: Callable[[Material, Path, Mapping[str, FileFigures]], None] = lambda material, folder, figures: None
    write_beside: Callable[[Path, str], None] = lambda folder, name: None
    beside: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    extra: str = ""

    def require_installed(self, name: str) -> None:
        """Raises ExportError where a package is missing."""
        missing = [package for package in self.packages if find_spec(package) is None]
        if missing:
            advice = f"'barlowtf[{self.extra}]'" if self.extra else " ".join(missing)
            raise ExportError(
                f"The format {name} needs {', '.join(missing)}, which is not installed. Run: pip install {advice}"
            )

    def chosen_variants(self, name: str, wanted: Sequence[str] | None) -> tuple[str, ...]:
        """Returns the variants to write, all where none is wanted; raises ExportError for unknown ones."""
        if wanted is None:
            return self.variants
        unknown = [variant for variant in wanted if variant not in self.variants]
        if unknown:
            expected = f"some of {', '.join(self.variants)}" if self.variants else "none: it has one kind of file"
            raise ExportError(
                f"Invalid --variant: received {', '.join(unknown)} for the format {name}, expected {expected}."
            )
        return tuple(variant for variant in self.variants if variant in wanted)

    def chosen_settings(self, name: str, given: Mapping[str, Any]) -> Section:
        """Returns the settings with what was given; raises ExportError for unknown keys and values."""
        try:
            return self.settings.model_validate(dict(given))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            known = ", ".join(self.settings.model_fields) or "no settings"
            if first["type"] == "extra_forbidden":
                message = f"received {key} for the format {name}, which has {known}"
            elif first["type"] == "string_pattern_mismatch":
                expected = self.settings.model_fields[key].description
                message = f"received {key}={given[key]!r} for the format {name}, expected {expected}"
            else:
                message = f"received {key}={given[key]!r} for the format {name}: {first['msg']}"
            raise ExportError(f"Invalid setting: {message}.") from error


def class_names_text(parts: Parts) -> str:
    """Returns the names of the head's classes, one a line, line breaks in them as escapes; empty without head."""
    return "".join(f"{_LINE_BREAK.sub(_escaped, name)}\n" for name in parts.class_names or ())


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def write_class_names(parts: Parts, folder: Path) -> None:
    """Writes class_names.txt, one name a line, where there is a head."""
    if parts.class_names is not None:
        write_file(folder / CLASS_NAMES_FILE, class_names_text(parts))
