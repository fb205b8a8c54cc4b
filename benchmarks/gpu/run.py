"""Runs traced cases on this machine: needs JAX, PyTorch and NumPy, and neither barlowtf nor TensorFlow.

    python run.py                              every case, in the order of its worth, until the minutes are over
    python run.py resnet50-256-bfloat16        some of them
    python run.py train --minutes 6            the training run; the same command again resumes it

What is measured is written to results/ after every turn.
"""

import argparse
import json
import sys
from pathlib import Path

from portable import results
from portable.deadline import Deadline
from portable.errors import MachineError
from portable.measuring import CaseMeasurement, measure_rates
from portable.worker import serve
from portable.workers import WorkerError

_FOLDER = Path(__file__).resolve().parent


def main() -> None:
    options = _parse()
    if options.worker:
        serve(_FOLDER, *options.worker, allow_cpu=options.allow_cpu)
        return
    try:
        run(options)
    except (MachineError, WorkerError) as error:
        sys.exit(f"error: {error}")


def run(options: argparse.Namespace) -> None:
    """Runs what the command line names.

    Raises:
        MachineError, WorkerError: The machine lacks what the run needs.
    """
    deadline = Deadline(options.minutes)
    cases = json.loads((_FOLDER / "cases.json").read_text(encoding="utf-8"))["cases"]
    unknown = sorted(set(options.cases) - set(cases))
    if unknown:
        raise MachineError(f"Invalid case: received {', '.join(unknown)}, expected some of {', '.join(cases)}.")
    options.out.mkdir(parents=True, exist_ok=True)
    if options.check:
        from portable.checking import check_programs

        check_programs(_FOLDER, {name: cases[name] for name in options.cases or cases}, options.out)
        return
    named = options.cases or [name for name, case in cases.items() if case["kind"] != "training"]
    file = options.out / "results.json"
    content = results.read(file)
    # The training run needs its minutes for itself.
    training_alone = all(cases[name]["kind"] == "training" for name in named) and bool(named)
    device = {} if training_alone else measure_rates(_FOLDER, deadline, allow_cpu=options.allow_cpu)
    content["machine"] = {**content.get("machine", {}), **results.describe_machine(), **device}
    content.setdefault("cases", {})
    results.write(file, content)
    for number, name in enumerate(named):

        def save(result: dict, name: str = name) -> None:
            content["cases"][name] = {"options": _plain(options), **result}
            results.write(file, content)

        if cases[name]["kind"] == "training":
            from portable.training import train

            train(_FOLDER, cases[name], deadline, options, save)
            continue
        CaseMeasurement(
            _FOLDER,
            name,
            cases[name],
            deadline,
            calls=options.calls,
            peers_first=number % 2 == 1,
            skip=tuple(options.skip),
            allow_cpu=options.allow_cpu,
            memory_bytes=device.get("memory_bytes"),
            save=save,
        ).run()
    sys.stderr.write(f"{file}\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="Cases to run. Default: all but the training run.")
    parser.add_argument("--minutes", type=float, default=9.0, help="Time of the whole run, minutes. Default: 9.")
    parser.add_argument("--calls", type=int, default=20, help="Timed calls of each side, at least. Default: 20.")
    parser.add_argument("--skip", nargs="*", default=[], metavar="SIDE", help="Sides to leave out: pytorch-compile.")
    parser.add_argument("--out", type=Path, default=_FOLDER / "results", help="Folder of the results.")
    parser.add_argument("--allow-cpu", action="store_true", help="Run without a GPU: a rehearsal, not a figure.")
    parser.add_argument("--check", action="store_true", help="Parse and compile every program and run none.")
    training = parser.add_argument_group("training run")
    training.add_argument("--epochs", type=int, help="Epochs. Default: as many as fit into --minutes.")
    training.add_argument("--state", type=Path, default=_FOLDER / "state.npz", help="Where an unfinished run waits.")
    training.add_argument("--save-every", type=float, default=60.0, help="Seconds between saves. Default: 60.")
    training.add_argument("--stop-after", type=int, help="Stop after this many steps, as if the time were over.")
    training.add_argument("--part-size", type=int, default=15, help="Largest file of weights, MiB. Default: 15.")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def _plain(options: argparse.Namespace) -> dict:
    """Returns the options as JSON, without paths, which say where on this machine the run was."""
    return {name: value for name, value in vars(options).items() if isinstance(value, int | float | list | None)}


if __name__ == "__main__":
    main()
