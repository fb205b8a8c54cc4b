"""The contract of a data source: what an entry of `SOURCES`, or a user's own, says about itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from barlowtf.data.multi_label import MultiLabelSet
from barlowtf.data.source import Source

if TYPE_CHECKING:  # what opens them asks for the kinds
    from barlowtf.data.objects.annotations import ObjectSet


@dataclass(frozen=True)
class SourceKind:
    """One kind of data source.

    The line of `barlowtf.tables.SOURCES` that names an entry starts with its SPEC syntax, for help texts.

    Attributes:
        prefix: What its SPECs start with: "tfds:". Without a colon it is the whole SPEC: "digits". Empty: every SPEC
            that has no other meaning, which only one entry can have. Unused in a user's own kind.
        open: (rest of the SPEC behind the prefix, "train" or "test") -> the data set; None where it has no test split.
        open_multi_label: The same for images that show several classes each; None where there are none of this kind.
        multi_label_syntax: What a SPEC for `open_multi_label` names, for error messages.
        open_objects: The same for images with boxes; None where there are none of this kind.
        objects_syntax: What a SPEC for `open_objects` names, for error messages.
        has_objects: Rest of the SPEC -> whether `open_objects` is for it, told without reading images; None: always.
    """

    prefix: str
    open: Callable[[str, str], Source | None]
    open_multi_label: Callable[[str, str], MultiLabelSet] | None = None
    multi_label_syntax: str = ""
    open_objects: "Callable[[str, str], ObjectSet] | None" = None
    objects_syntax: str = ""
    has_objects: Callable[[str], bool] | None = None

    def matches(self, spec: str) -> bool:
        """Returns whether a SPEC is of this kind."""
        if self.prefix.endswith(":"):
            return spec.startswith(self.prefix) and spec != self.prefix
        return bool(spec) if not self.prefix else spec == self.prefix
