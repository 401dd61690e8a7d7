"""The worker's side of the command `proj_halt`."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

from celery import bootsteps
from celery.signals import worker_shutting_down
from celery.worker import state as worker_state
from celery.worker.control import control_command

from proj.broker.connection import default_channel
from proj.delivery.shutdown.halt_command import HALT

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

    from proj.delivery.stock import ControlState

#: Queues whose name begins so show that a worker which replied has not ended yet.
LEAVING = "proj.leaving."

#: Seconds to connect for such a queue; the worker serves nothing else meanwhile.
_CONNECT_TIMEOUT_S = 2.0
#: Connections that stay open until the process ends, so that the broker deletes their queues then.
_open_until_the_end: list[Connection] = []


class AnswerHalt(bootsteps.Step):
    """Adds the command to those that the worker knows."""

    label = "Halt command"

    def __init__(self, worker: object, **options: object) -> None:
        """Add it."""
        super().__init__(worker, **options)
        control_command(name=HALT, help="Reply, then shut down warmly.")(halt)


def halt(state: ControlState, **_: object) -> dict[str, object]:
    """What is left to do here, and the queue that shows when this process has ended; then a warm shutdown begins.

    Celery's `shutdown` raises inside the command, so its reply is never sent. This sets what the handler of SIGTERM
    sets, and the worker's loop ends once the reply is on its way.
    """
    # An app may have a consumer of its own.
    dispatcher = getattr(state.consumer, "dispatcher", None)
    reply = {
        "ok": "halting",
        "running": len(worker_state.active_requests),
        # Celery does not know yet what waits in adaptive dispatch.
        "held": len(worker_state.reserved_requests)
        - len(worker_state.active_requests)
        + (len(dispatcher.held) if dispatcher is not None else 0),
        "leaving": _queue_until_the_end(state.app),
    }
    # Before the signal, whose receivers may fail.
    worker_state.should_stop = 0  # type: ignore[assignment] # celery-types says None; an exit code ends the loop
    worker_shutting_down.send(sender=state.hostname, sig="halt", how="Warm", exitcode=0)
    return reply


def _queue_until_the_end(app: Celery) -> str | None:
    """The name of a new queue that the broker deletes when this process ends, however it ends; None if it refuses."""
    name = f"{LEAVING}{uuid.uuid4()}"
    # Without a heartbeat, which a worker that waits for its pool would not send.
    connection = app.connection_for_write(heartbeat=0, connect_timeout=_CONNECT_TIMEOUT_S)
    try:
        default_channel(connection).queue_declare(queue=name, exclusive=True, auto_delete=False)
    except (*connection.connection_errors, *connection.channel_errors):
        with contextlib.suppress(Exception):
            connection.release()
        return None
    _open_until_the_end.append(connection)
    return name
