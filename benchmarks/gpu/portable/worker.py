"""A process that measures: reads one request a line from stdin, answers each with one line of JSON on stdout."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from .errors import MachineError, one_line


def serve(folder: Path, case_name: str, worker: str, *, allow_cpu: bool) -> None:
    """Answers requests until stdin ends.

    Requests are JSON lists: ["rates"], ["open"], ["start", SIDE] and ["turn", SIDE, CALLS]. An answer is an object; one
    with the key "error" says why there is none.

    Args:
        folder: Of the traced cases.
        case_name: Which of them; "" for requests that need none.
        worker: "pytorch", or the name of a program of the case.
        allow_cpu: Whether a CPU will do.
    """
    # What libraries print goes to stderr, so that stdout holds answers alone.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    content = json.loads((folder / "cases.json").read_text(encoding="utf-8"))
    sides: dict[str, Any] = {}
    for line in sys.stdin:
        request, *arguments = json.loads(line)
        try:
            if request == "rates":
                from .rate import measure_rates

                answer = measure_rates(allow_cpu=allow_cpu)
            elif request == "open":
                from .sides import open_sides

                case = content["cases"][case_name]
                sides = open_sides(folder, case, worker, tf32=content["tf32"], allow_cpu=allow_cpu)
                answer = {"sides": list(sides)}
            elif request == "start":
                answer = sides[arguments[0]].start()
            else:
                answer = sides[arguments[0]].turn(arguments[1])
        except MachineError as error:
            answer = {"error": str(error)}
        except Exception as error:  # A library's own errors, out of memory among them: the run goes on without this.
            answer = {"error": one_line(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
