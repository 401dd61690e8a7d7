"""Consumes the events of workers and only counts them, as the cheapest monitor there could be."""

from __future__ import annotations

import contextlib
import json
import threading

from celery.events.event import get_exchange
from kombu import Connection, Consumer, Queue

from proj.service import Service

#: Seconds after which the thread checks whether it is to end.
TICK_S = 0.2


class EventCounter(Service):
    """Counts task events, in a thread of its own."""

    def __init__(self, url: str) -> None:
        """Nothing is connected before `start`."""
        self.tasks = 0
        self._connection = Connection(url)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._consume, name="event counter", daemon=True)

    def start(self) -> None:
        """Declare the queue, and count from now on."""
        self._consumer = Consumer(
            self._connection,
            [Queue("", get_exchange(self._connection), routing_key="task.#", exclusive=True, auto_delete=True)],
            on_message=self._count,
            no_ack=True,
            accept=["json"],
        )
        self._consumer.consume()
        self._thread.start()

    def stop(self) -> None:
        """Stop counting; safe to call twice and before `start`."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.release()

    def _consume(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                self._connection.drain_events(timeout=TICK_S)

    def _count(self, message: object) -> None:
        content = json.loads(message.body)  # type: ignore[attr-defined] # kombu's message
        self.tasks += len(content) if isinstance(content, list) else 1
