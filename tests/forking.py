"""Many calls of the command line as real processes, for the price of one start of TensorFlow: each is a fork."""

import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass

_SERVER = """
import json, os, resource, signal, sys
import numpy, tensorflow, keras, sklearn.linear_model, pyarrow.parquet, PIL.Image
import barlowtf.experiment, barlowtf_cli.main
from barlowtf_cli import start
from barlowtf_cli.signals import ending_by_signals

def call(request, started):
    os.chdir(request["folder"])
    for descriptor, path in enumerate(request["streams"]):
        opened = os.open(path, os.O_WRONLY if descriptor else os.O_RDONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    if request["bytes"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request["bytes"], resource.RLIM_INFINITY))
    os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)
    os.environ["TMPDIR"] = request["folder"]
    sys.argv = ["barlowtf", *request["words"]]
    # As at the beginning of the program, before anybody knows the number of the process.
    with ending_by_signals():
        os.write(started, b".")
        start.run()

# The tests may run under nohup.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
print("ready", flush=True)
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        print(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]), flush=True)
        continue
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            call(request, writing)
        finally:
            os._exit(99)
    os.close(writing)
    os.read(reading, 1)
    os.close(reading)
    print(child, flush=True)
"""


@dataclass
class Call:
    """A call that has been started.

    Attributes:
        process: Its number.
        streams: What reads its standard output and its standard error.
    """

    process: int
    streams: list

    def send(self, number):
        """Sends a signal."""
        os.kill(self.process, number)


class _Reader(threading.Thread):
    """Reads a pipe to its end."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self._path, self._content = pipe, b""
        self.start()

    def run(self):
        self._content = self._path.read_bytes()

    def text(self):
        self.join()
        return self._content.decode(errors="replace")


class Forks:
    """Starts calls and waits for them."""

    def __init__(self, server, place):
        self._server, self._place, self._count = server, place, 0

    def start(self, *words, folder, output=None, errors=None, file_bytes=None):
        """Returns the call with these words; `folder` is its working folder and holds its temporary files."""
        pipes = [output or self._pipe(), errors or self._pipe()]
        request = {"words": list(map(str, words)), "folder": str(folder), "bytes": file_bytes}
        # Pipes, for the limit is of files.
        readers = [_Reader(pipe) for pipe, given in zip(pipes, (output, errors), strict=True) if given is None]
        process = int(self._ask({**request, "streams": [os.devnull, *map(str, pipes)]}))
        return Call(process, readers)

    def wait(self, call):
        """Returns exit status (minus a signal's number), and what it wrote, when a call has ended."""
        status = int(self._ask({"wait": call.process}))
        return status, *(reader.text() for reader in call.streams)

    def _pipe(self):
        self._count += 1
        pipe = self._place / str(self._count)
        os.mkfifo(pipe)
        return pipe

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
