"""Traces the cases on this machine, and collects what a machine with a GPU measured.

python -m benchmarks.gpu trace --out gpu --images cifar10/    every case, for `python gpu/run.py` on that machine
python -m benchmarks.gpu collect gpu                          writes benchmarks/results/gpu.json and gpu/encoder
python -m benchmarks.gpu rehearse --images cifar10/           scaled down, on this CPU
python -m benchmarks.gpu check gpu                            compiles the full-size programs with JAX for this CPU
python -m benchmarks.gpu tensorflow                           the steps by TensorFlow itself, where it has a GPU
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks import machine
from benchmarks.gpu.cases import CASES

_REHEARSAL = machine.RESULTS / "gpu_rehearsal.json"


def main() -> None:
    options = _parse()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options.run(options)


def _trace(options: argparse.Namespace) -> None:
    from benchmarks.gpu.cases import scaled_down
    from benchmarks.gpu.packing import pack
    from benchmarks.gpu.rehearsing import folder_bytes
    from benchmarks.gpu.tracing import trace

    cases = {name: case for name, case in CASES.items() if name in (options.cases or CASES)}
    if options.small:
        cases = {name: scaled_down(case) for name, case in cases.items()}
    if "train" in cases and options.images is None:
        cases.pop("train")
        sys.stderr.write("Without --images the training run is left out.\n")
    elif "train" in cases:
        pack(options.images, options.out, limit=options.limit)
    trace(cases, options.out, reference_steps=options.reference_steps)
    size = folder_bytes(options.out)
    sys.stderr.write(f"{options.out}: programs {size['programs'] / 1e6:.1f} MB, images {size['images'] / 1e6:.1f} MB\n")


def _collect(options: argparse.Namespace) -> None:
    from benchmarks.gpu.collecting import collect, write_encoder, write_results

    file = machine.RESULTS / f"{options.name}.json"
    folders = options.results or [options.folder / "results"]
    write_results(file, _command(), {"runs": [collect(options.folder, results) for results in folders]})
    sys.stderr.write(f"{file}\n")
    for encoder in filter(None, (write_encoder(options.folder, results) for results in folders)):
        sys.stderr.write(
            f"{encoder}\nCheck it: barlowtf evaluate --protocol knn --encoder {encoder} --data cifar10/ "
            "--set knn.neighbors=[200] --set knn.temperature=0.1\n"
        )


def _rehearse(options: argparse.Namespace) -> None:
    from benchmarks.gpu.collecting import write_results
    from benchmarks.gpu.rehearsing import rehearse

    with tempfile.TemporaryDirectory() as made:
        folder = options.out or Path(made)
        found = rehearse(folder, options.images, skip=options.skip, minutes=options.minutes)
    write_results(_REHEARSAL, _command(), found)
    sys.stderr.write(f"{_REHEARSAL}\n")


def _check(options: argparse.Namespace) -> None:
    from benchmarks.gpu.collecting import write_results
    from benchmarks.gpu.rehearsing import check_full_size

    file = machine.RESULTS / "gpu_check.json"
    write_results(file, _command(), check_full_size(options.folder))
    sys.stderr.write(f"{file}\n")


def _tensorflow(options: argparse.Namespace) -> None:
    from benchmarks.gpu import tensorflow_steps
    from benchmarks.gpu.collecting import write_results

    if options.child:
        tensorflow_steps.print_child(*options.child, small=options.small)
        return
    names = options.cases or list(CASES)
    try:
        found = tensorflow_steps.measure_all(names, allow_cpu=options.allow_cpu, small=options.small)
    except RuntimeError as error:
        sys.exit(f"error: {error}")
    file = machine.RESULTS / ("gpu_tensorflow-quick.json" if options.small else "gpu_tensorflow.json")
    write_results(file, _command(), found)
    sys.stderr.write(f"{file}\n")


def _command() -> str:
    return " ".join(["python", "-m", "benchmarks.gpu", *sys.argv[1:]])


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    of_cases = {"nargs": "*", "metavar": "CASE", "choices": [*CASES, []], "help": f"Default: all. {', '.join(CASES)}"}

    trace = commands.add_parser("trace", help="Write the programs of cases for a machine without TensorFlow.")
    trace.add_argument("cases", **of_cases)
    trace.add_argument("--out", type=Path, required=True, help="Folder that travels.")
    trace.add_argument("--images", metavar="SPEC", help="Images of the training run: a folder with train/ and test/.")
    trace.add_argument("--limit", type=int, help="Images of each split, spread evenly. Default: all.")
    trace.add_argument("--small", action="store_true", help="Scaled down for a CPU.")
    trace.add_argument("--reference-steps", type=int, default=0, help="Steps to take here and record. Default: 0.")
    trace.set_defaults(run=_trace)

    collect = commands.add_parser("collect", help="Write benchmarks/results/gpu.json from a folder that came back.")
    collect.add_argument("folder", type=Path, help="Traced folder.")
    several = "Folders that came back, one from each run. Default: results/ in the traced folder."
    collect.add_argument("results", type=Path, nargs="*", metavar="RESULTS", help=several)
    collect.add_argument("--name", default="gpu", help="Name of the result file, for another card. Default: gpu.")
    collect.set_defaults(run=_collect)

    rehearse = commands.add_parser("rehearse", help="Run every case, scaled down, on this CPU.")
    rehearse.add_argument("--images", metavar="SPEC", required=True, help="Images of the training run.")
    rehearse.add_argument("--out", type=Path, help="Folder of the programs. Default: one that is removed.")
    rehearse.add_argument("--skip", nargs="*", default=[], metavar="SIDE", help="Sides to leave out: pytorch-compile.")
    rehearse.add_argument("--minutes", type=float, default=120.0, help="Time of each run, minutes. Default: 120.")
    rehearse.set_defaults(run=_rehearse)

    check = commands.add_parser("check", help="Compile full-size programs with JAX for this CPU.")
    check.add_argument("folder", type=Path, help="Traced folder.")
    check.set_defaults(run=_check)

    tensorflow = commands.add_parser("tensorflow", help="Time the steps by TensorFlow, with and without XLA.")
    tensorflow.add_argument("cases", **of_cases)
    tensorflow.add_argument("--allow-cpu", action="store_true", help="Run without a GPU: a rehearsal, not a figure.")
    tensorflow.add_argument("--small", action="store_true", help="Scaled down for a CPU.")
    tensorflow.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    tensorflow.set_defaults(run=_tensorflow)
    return parser.parse_args()


if __name__ == "__main__":
    main()
