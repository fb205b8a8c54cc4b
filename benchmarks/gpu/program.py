"""From a compiled TensorFlow function to files: NAME.mlir.gz (StableHLO) and NAME.json (its arguments)."""

import gzip
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.gpu.portable.first_values import draw

# Up to this many entries a variable's values travel themselves.
_FEW = 64
# Of larger variables so many entries are looked at: the deviation is then known to a thousandth.
_SAMPLE = 2**20
# Kurtosis is 1.8 for a uniform distribution and 3 for a normal one.
_BETWEEN_UNIFORM_AND_NORMAL = 2.4
# TensorFlow marks where a value must not be the variable's own memory by an operation of its compiler's own, no part of
# StableHLO, which XLA takes for a CPU alone. The alias marks say which memory is written in place.
_COPY = re.compile(r"mhlo\.copy (%\w+) : (tensor<[^>]*>)")
_OPERATION = re.compile(r"= \"?([a-z]\w*)\.\w+")
_DIALECTS = {"stablehlo", "func"}
# Source locations: half of the text, and paths of the machine that traced it.
_LOCATION = re.compile(r" loc\((?:#loc\d*|unknown|\"[^\"]*\"|fused\[[^\]]*\])\)")


def write_program(
    folder: Path,
    name: str,
    function: Callable[..., dict[str, tf.Tensor]],
    inputs: Sequence[dict[str, Any]],
    variables: Sequence[Any],
    *,
    reference_steps: int = 0,
    **facts: Any,
) -> dict[str, Any]:
    """Traces a function and writes its program.

    Args:
        folder: Where the files go.
        name: Name of the program.
        function: Takes the inputs, returns named scalars or tensors.
        inputs: Shape, dtype and rule of each input, see `portable.first_values`.
        variables: Keras variables that the function may read or write.
        reference_steps: So many steps are taken here, from the values that the rules draw, and their outputs recorded.
        **facts: Further entries of NAME.json.

    Returns:
        What NAME.json holds.
    """
    compiled = tf.function(function, jit_compile=True)
    specs = [tf.TensorSpec(entry["shape"], entry["dtype"]) for entry in inputs]
    concrete = compiled.get_concrete_function(*specs)
    lowered = compiled.experimental_get_compiler_ir(*specs)
    of_handle = {id(variable.value.handle): variable for variable in variables}
    captured = [of_handle[id(handle)] for handle in concrete.captured_inputs]
    feedback = _feedback(lowered(stage="hlo"))
    text = _with_aliases(_without_copies(_without_locations(lowered(stage="stablehlo"))), feedback)
    meta = {
        "name": name,
        "inputs": list(inputs),
        "variables": [_describe(variable) for variable in captured],
        "outputs": sorted(concrete.structured_outputs),
        "feedback": feedback,
        **facts,
    }
    if reference_steps:
        meta["reference"] = _take_steps(tf.function(function), meta, captured, reference_steps)
    (folder / f"{name}.mlir.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    (folder / f"{name}.json").write_text(json.dumps(meta), encoding="utf-8")
    return meta


def rule_of(values: np.ndarray) -> dict[str, Any]:
    """Returns the rule that draws values like these: a constant, the values themselves, or their distribution.

    A layer's first weights are normal or uniform around 0; which of the two, their kurtosis tells.
    """
    flat = np.asarray(values).ravel()
    if np.all(flat == flat[0]):
        return {"constant": flat[0].item()}
    if flat.size <= _FEW:
        return {"values": flat.tolist()}
    sample = flat[:: -(-flat.size // _SAMPLE)].astype(np.float64)
    std = sample.std()
    if np.mean(((sample - sample.mean()) / std) ** 4) > _BETWEEN_UNIFORM_AND_NORMAL:
        return {"normal": [0.0, float(std)]}
    bound = float(std * np.sqrt(3.0))
    return {"uniform": [-bound, bound]}


def _describe(variable: Any) -> dict[str, Any]:
    values = variable.numpy()
    return {"path": variable.path, "shape": values.shape, "dtype": values.dtype.name, "rule": rule_of(values)}


def _take_steps(function: Any, meta: dict[str, Any], captured: list[Any], steps: int) -> list[dict[str, float]]:
    """Returns the scalar outputs of the first steps, from the drawn values, by TensorFlow's own kernels."""
    count = len(meta["inputs"])
    arguments = [tf.constant(draw(entry, index)) for index, entry in enumerate(meta["inputs"])]
    for index, (variable, entry) in enumerate(zip(captured, meta["variables"], strict=True)):
        variable.assign(draw(entry, count + index))
    taken = []
    for _ in range(steps):
        outputs = function(*arguments)
        taken.append({name: float(value) for name, value in outputs.items() if value.shape.rank == 0})
    return taken


def _feedback(hlo: str) -> dict[int, int]:
    """Returns output -> the argument whose new value it is, from the first line of an HLO text."""
    first = hlo.split("\n", 1)[0]
    return {int(output): int(argument) for output, argument in re.findall(r"\{(\d+)\}: \((\d+), \{\}", first)}


def _without_locations(text: str) -> str:
    lines = text.splitlines()
    return "\n".join(_LOCATION.sub("", line) for line in lines if not line.startswith("#loc"))


def _without_copies(text: str) -> str:
    """Returns the text with copies as reshapes to the same shape.

    Raises:
        ValueError: Other operations than StableHLO's are left.
    """
    text = _COPY.sub(r"stablehlo.reshape \1 : (\2) -> \2", text)
    foreign = set(_OPERATION.findall(text)) - _DIALECTS
    if foreign:
        raise ValueError(f"Invalid program: received operations of {', '.join(sorted(foreign))}, expected StableHLO's.")
    return text


def _with_aliases(text: str, feedback: dict[int, int]) -> str:
    """Returns the text with the fed-back arguments marked: the program then writes variables in place, as TensorFlow.

    Raises:
        ValueError: The text has no function "main" in the expected form.
    """
    head = re.search(r"func\.func (?:public )?@main\(.*$", text, re.MULTILINE)
    if head is None:
        raise ValueError("Invalid StableHLO: received no function main, expected one on a line of its own.")
    output_of = {argument: output for output, argument in feedback.items()}

    def mark(found: re.Match[str]) -> str:
        output = output_of.get(int(found[1]))
        return found[0] if output is None else f"{found[0]} {{tf.aliasing_output = {output} : i32}}"

    marked = re.sub(r"%arg(\d+): tensor<[^>]*>", mark, head[0])
    return text[: head.start()] + marked + text[head.end() :]
