"""Workers that wait for each other, and tell each other from another program that answers at the same address.

Each listens on its own port. Whoever connects is sent a line that names the list of workers and the listener's place in
it, and answers with its own. A worker has met another when it has read that one's line; it may go when all others have
also read its own, because TensorFlow's server then takes the port.
"""

import hashlib
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

Answer = Literal["met", "nobody", "another program", "a worker with another list of addresses"]

_CONNECT_SECONDS, _LINE_SECONDS, _ANSWER_SECONDS = 1.0, 5.0, 60.0
_NAME = "barlowtf-worker"


class Meeting:
    """One worker's part.

    Attributes:
        met_by: Indices of the workers that have read this one's line.
    """

    def __init__(self, addresses: Sequence[str], index: int) -> None:
        """Takes the list of workers, "host:port" each, and this one's index in it."""
        self.addresses, self.index = tuple(addresses), index
        self.met_by: set[int] = set()
        self._list = hashlib.sha256(" ".join(self.addresses).encode()).hexdigest()[:16]

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Answers the others inside the context.

        Raises:
            OSError: The port is taken or not this machine's.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", self.port))
            listener.listen(128)
            thread = threading.Thread(target=self._accept, args=(listener,), name="meeting", daemon=True)
            thread.start()
            try:
                yield
            finally:
                # Closing alone would leave the thread in `accept`.
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(_CONNECT_SECONDS)

    @property
    def port(self) -> int:
        """The port of this worker."""
        return int(self.addresses[self.index].rpartition(":")[2])

    def ask(self, index: int) -> Answer:
        """Returns who answers at the address of another worker, which has then met this one."""
        host, _, port = self.addresses[index].rpartition(":")
        try:
            connection = socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS)
        except OSError:
            return "nobody"
        with connection:
            try:
                connection.settimeout(_LINE_SECONDS)
                line = _read_line(connection)
                if line == self._line(index):
                    connection.sendall(self._line(self.index))
                    return "met"
            except OSError:
                line = b""
        return "a worker with another list of addresses" if line.startswith(_NAME.encode()) else "another program"

    def _line(self, index: int) -> bytes:
        return f"{_NAME} {self._list} {index}\n".encode()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                # One that says nothing must not keep the others waiting.
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(self._line(self.index))
            line = _read_line(connection)
            self.met_by.update(index for index in range(len(self.addresses)) if line == self._line(index))


def _read_line(connection: socket.socket) -> bytes:
    """Returns what comes until the first line is complete, or longer than any of ours."""
    line = b""
    while not line.endswith(b"\n") and len(line) < 100:
        part = connection.recv(100)
        if not part:
            break
        line += part
    return line
