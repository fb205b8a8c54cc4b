"""`python -m barlowtf.launching.tethered COMMAND...`: the command line, for as long as standard input is open.

Whoever starts it holds the other end of a pipe. When that process ends, however it ends, the pipe closes, and the
command ends as by SIGTERM: a run finishes its step and saves.
"""

import os
import signal
import sys
import threading


def tether() -> None:
    """Sends this process SIGTERM when its standard input is closed."""
    threading.Thread(target=_end_with_input, name="tether", daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    from barlowtf_cli.start import run  # the folder cli/, installed under this name

    sys.argv[0] = "barlowtf"
    run(begin=tether)
