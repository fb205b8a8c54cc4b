"""Many calls of the command line as real processes, for the price of one start of TensorFlow: each is a fork."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SERVER = """
import json, os, resource, sys
import numpy, tensorflow, keras, sklearn.linear_model, pyarrow.parquet, PIL.Image
import barlowtf.experiment, barlowtf_cli.main
from barlowtf_cli import start

def call(request):
    os.chdir(request["folder"])
    for descriptor, path in enumerate(request["streams"]):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    if request["bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"], resource.RLIM_INFINITY))
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    os.environ["TMPDIR"] = request["folder"]
    sys.argv = ["barlowtf", *request["words"]]
    start.run()

print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        continue
    child = os.fork()
    if not child:
        try:
            call(request)
        finally:
            os._exit(99)
    print(child, flush=True)
"""


@dataclass
class Call:
    """A call that has been started.

    Attributes:
        process: Its number.
        output: File of its standard output.
        errors: File of its standard error.
    """

    process: int
    output: Path
    errors: Path

    def send(self, number):
        """Sends a signal."""
        os.kill(self.process, number)


class Forks:
    """Starts calls and waits for them."""

    def __init__(self, server, place):
        self._server, self._place, self._count = server, place, 0

    def start(self, *words, folder, output=None, errors=None, file_bytes=None):
        """Returns the call with these words; `folder` is its working folder and holds its temporary files."""
        self._count += 1
        files = [self._place / f"{self._count}.{name}" for name in ("output", "errors")]
        streams = [os.devnull, str(output or files[0]), str(errors or files[1])]
        request = {"words": list(map(str, words)), "folder": str(folder), "streams": streams, "bytes": file_bytes}
        return Call(int(self._ask(request)), *files)

    def wait(self, call):
        """Returns exit status (minus a signal's number), output and errors of a call, when it has ended."""
        status = int(self._ask({"wait": call.process}))
        return (
            status,
            *(file.read_text(errors="replace") if file.exists() else "" for file in (call.output, call.errors)),
        )

    def run(self, *words, **options):
        """Starts and waits."""
        return self.wait(self.start(*words, **options))

    def _ask(self, request):
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        return self._server.stdout.readline()


@contextmanager
def forks(place):
    """Yields what starts calls; `place` is a folder for their output."""
    with subprocess.Popen(
        [sys.executable, "-c", _SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline() == "ready\n"
        try:
            yield Forks(server, place)
        finally:
            server.stdin.close()
            server.kill()
