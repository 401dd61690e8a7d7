"""A TCP proxy on loopback that delays every byte, as a long network does, and limits nothing else.

`proj.lab.processes.proxy` cuts and freezes connections; it does not delay. This one is a process of its own, so that
its threads wait for no other thread of the measurement.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import LOOPBACK
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

CHUNK_BYTES = 65536
START_TIMEOUT_S = 30.0


class DelayingProxy(Process):
    """Forwards connections to `server_port` with half of `round_trip_s` in each direction."""

    def __init__(self, server_port: int, round_trip_s: float, *, guard: Guard) -> None:
        """Nothing is started before `start`."""
        super().__init__(
            f"proxy of {1000 * round_trip_s:g} ms",
            [sys.executable, "-m", "dispatch.delaying_proxy", str(server_port), str(round_trip_s / 2)],
            guard=guard,
            environment=child_environment(PYTHONPATH=str(Path(__file__).parent.parent)),
            log=guard.folder / f"proxy-{round_trip_s}.log",
        )

    @property
    def port(self) -> int:
        """The port on which it listens."""
        return int(self.log_text())

    def start(self) -> None:
        """Start it, and return when it listens."""
        super().start()
        self.wait_until_ready(lambda: self.log_text().endswith("\n"), timeout_s=START_TIMEOUT_S)


def forward(source: socket.socket, sink: socket.socket, delay_s: float) -> None:
    """Read from one end at once, and write to the other one `delay_s` later, both in threads of their own."""
    chunks: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def read() -> None:
        chunk = b"-"
        while chunk:
            # A reset ends the connection as a close does.
            try:
                chunk = source.recv(CHUNK_BYTES)
            except OSError:
                chunk = b""
            chunks.put((time.monotonic() + delay_s, chunk))

    def write() -> None:
        with contextlib.suppress(OSError):
            while True:
                due, chunk = chunks.get()
                if (wait_s := due - time.monotonic()) > 0:
                    time.sleep(wait_s)
                if not chunk:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(chunk)

    for step in (read, write):
        threading.Thread(target=step, daemon=True).start()


def main() -> None:
    """Print the port, and forward until a signal ends the process."""
    server_port, delay_s = int(sys.argv[1]), float(sys.argv[2])
    with socket.create_server((LOOPBACK, 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            client, _ = listener.accept()
            server = socket.create_connection((LOOPBACK, server_port))
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            forward(client, server, delay_s)
            forward(server, client, delay_s)


if __name__ == "__main__":
    main()
