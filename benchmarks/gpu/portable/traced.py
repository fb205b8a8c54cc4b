"""A traced step and its variables: reads NAME.mlir.gz and NAME.json, runs the step again and again."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from .first_values import draw
from .xla import Program


class TracedStep:
    """A program whose variables live on the device and are fed back after each call.

    Attributes:
        facts: What NAME.json holds.
        program: The compiled program.
    """

    def __init__(self, folder: Path, name: str, device: Any, *, cache: str | None = None) -> None:
        """Compiles the program; draws nothing yet."""
        self.facts = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        text = gzip.decompress((folder / f"{name}.mlir.gz").read_bytes()).decode()
        self.program = Program(text, device, cache=cache)
        self._arguments: list[Any] = []
        # Output -> the argument whose new value it is.
        self._feedback = {int(output): int(argument) for output, argument in self.facts["feedback"].items()}

    @property
    def input_count(self) -> int:
        """Number of the program's arguments that are no variables; they come first."""
        return len(self.facts["inputs"])

    def reset(self, values: dict[int, np.ndarray] | None = None) -> None:
        """Puts inputs and variables on the device.

        Args:
            values: Argument -> its value, for those that are not to be drawn by their rule.
        """
        entries = [*self.facts["inputs"], *self.facts["variables"]]
        values = values or {}
        self._arguments = [
            self.program.put(values[index] if index in values else draw(entry, index))
            for index, entry in enumerate(entries)
        ]

    def set(self, argument: int, value: np.ndarray) -> None:
        """Gives an argument another value."""
        self._arguments[argument] = self.program.put(value)

    def value(self, argument: int) -> np.ndarray:
        """Returns the present value of an argument."""
        return np.asarray(self._arguments[argument])

    def __call__(self) -> list[Any]:
        """Runs the program once, keeps the new values of the variables and returns the other outputs, on the device."""
        outputs = self.program(self._arguments)
        for output, argument in self._feedback.items():
            self._arguments[argument] = outputs[output]
        return outputs[: len(self.facts["outputs"])]
