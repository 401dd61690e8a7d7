"""Heartbeats of a connection while its own thread works on a message."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Heartbeat(Service):
    """Sends heartbeats from a thread of its own whenever no other thread uses the connection.

    A handler that works for minutes reads and writes nothing. Without heartbeats from us, the broker would close the
    connection after two silent intervals and redeliver the message. Without any heartbeats it would wait for half an
    hour for a machine that has lost its power.
    """

    def __init__(self, beat: Callable[[], None], interval_s: float, *, lock: threading.Lock) -> None:
        """Call `beat` every `interval_s` seconds under `lock`, which every user of the connection holds."""
        self._lock = lock
        self._beat = beat
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Start to send heartbeats."""
        self._thread.start()

    def stop(self) -> None:
        """Stop, and return when the thread has ended; do not call it under the lock."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            with self._lock:
                try:
                    self._beat()
                except Exception as error:  # noqa: BLE001 py-amqp raises any error on a lost connection
                    # The thread that uses the connection meets the same error, and connects again.
                    logger.debug("A heartbeat failed: %r", error, extra={"action": "heartbeat_failed"})
                    return
