"""Listener: a thread that receives Celery's events, and keeps in memory what they report."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from proj.journal.attempts import Attempts
from proj.journal.event import WorkerEvent, parsed
from proj.journal.heartbeats import Heartbeats
from proj.journal.recording.receiver import Receiver
from proj.service import Service, await_event

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

#: Seconds until the event queue must exist, and until the thread must have ended.
TIMEOUT_S = 15.0


class Listener(Service):
    """Keeps the attempts of all tasks, and the heartbeats of all workers, that come between `start` and `stop`."""

    def __init__(self, app: Celery, connection: Connection) -> None:
        """Receive events of `app` over `connection`, which the listener closes."""
        self.attempts = Attempts()
        self.heartbeats = Heartbeats(())
        self._app = app
        self._connection = connection
        self._listening = threading.Event()
        self._stopping = threading.Event()
        self._receiver: Receiver | None = None
        self._thread = threading.Thread(target=self._listen, name="event listener", daemon=True)

    def start(self) -> None:
        """Start the thread, and return when the event queue exists, so that no further event is missed.

        Raises:
            TimeoutError: the queue does not exist after `TIMEOUT_S` seconds.
        """
        self._thread.start()
        if not await_event(self._listening, TIMEOUT_S):
            raise TimeoutError(f"The broker did not create the event queue within {TIMEOUT_S:g} s.")

    def stop(self) -> None:
        """End the thread; safe to call twice and before `start`."""
        # The event first: the thread looks at it after it has made its receiver.
        self._stopping.set()
        if self._receiver is not None:
            self._receiver.should_stop = True
        if self._thread.is_alive():
            self._thread.join(TIMEOUT_S)

    def _listen(self) -> None:
        with self._connection:
            self._receiver = Receiver(
                self._connection,
                on_ready=self._listening.set,
                app=self._app,
                handlers={"*": self._take},
            )
            if not self._stopping.is_set():
                self._receiver.capture(limit=None, timeout=None, wakeup=False)

    def _take(self, event: object) -> None:
        self.attempts.add(event)
        # Anyone may publish a body that is no table of fields.
        if isinstance(event, Mapping) and str(event.get("type")).startswith("worker-"):
            known = parsed(event)
            if isinstance(known, WorkerEvent) and (state := self.heartbeats.follow(known.worker)) is not None:
                state.add_event(known, time.time())
