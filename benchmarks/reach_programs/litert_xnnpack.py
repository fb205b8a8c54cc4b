"""Runs a LiteRT file by ai-edge-litert with XNNPACK, its default, and without.

Command: python litert_xnnpack.py FILE.tflite IMAGES.npz OUT.npz

IMAGES holds `views`, uint8 [N, S, S, C], of the size that the file takes. OUT gets the outputs by their names, float32
[N, ...], with XNNPACK; those without as `NAME_without`; and the `version` of ai-edge-litert. Needs ai-edge-litert and
NumPy alone.
"""

import sys
from importlib import metadata

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType


def run(path: str, views: np.ndarray, resolver: OpResolverType) -> dict[str, np.ndarray]:
    """Returns the outputs of a file that takes any number of images or one, dequantized; one image at a time."""
    interpreter = Interpreter(path, num_threads=2, experimental_op_resolver_type=resolver)
    signature = interpreter.get_signature_runner("serving_default")
    (image,) = signature.get_input_details().values()
    details = signature.get_output_details()
    rows: dict[str, list[np.ndarray]] = {name: [] for name in details}
    for view in views:
        given = view if image["dtype"] == np.uint8 else view.astype(np.float32) / 255.0
        for name, value in signature(images=given[None]).items():
            scale, zero_point = details[name]["quantization"]
            found = (value.astype(np.float32) - zero_point) * np.float32(scale) if scale else value.copy()
            rows[name].append(found)
    return {name: np.concatenate(values) for name, values in rows.items()}


def main(path: str, source: str, target: str) -> None:
    """Runs one file twice."""
    with np.load(source) as arrays:
        views = arrays["views"]
    outputs = run(path, views, OpResolverType.BUILTIN)
    without = run(path, views, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    outputs |= {f"{name}_without": value for name, value in without.items()}
    np.savez(target, version=metadata.version("ai-edge-litert"), **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:])
