"""Heartbeats of a connection whose own thread is busy with a message."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from proj.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Heartbeat(Service):
    """Beats from a thread of its own whenever nobody else uses the connection.

    A handler that works for minutes reads and writes nothing. Without a beat the broker would take the connection for
    dead after two intervals of silence, and give the message to another; without heartbeats at all it would wait for
    half an hour for a machine that has lost its power.
    """

    def __init__(self, beat: Callable[[], None], interval_s: float, *, lock: threading.Lock) -> None:
        """Call `beat` every so many seconds under `lock`, which whoever uses the connection holds as well."""
        self._lock = lock
        self._beat = beat
        self._interval_s = interval_s
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more, and return when nobody else uses the connection; not to be called under the lock."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            with self._lock:
                try:
                    self._beat()
                except Exception as error:  # noqa: BLE001 py-amqp raises anything on a lost connection
                    # Its own thread meets the same error, and connects again.
                    logger.debug("A heartbeat failed: %r", error)
                    return
