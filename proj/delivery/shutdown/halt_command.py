"""The order to halt, as a worker takes it: it answers first, and then leaves as after SIGTERM."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING, Any

from celery.signals import celeryd_init, worker_shutting_down

from proj.broker.connection import default_channel

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

#: The name of the order on Celery's control bus.
HALT = "proj_halt"
#: Queues of this name tell that a worker which answered has not ended yet.
LEAVING = "proj.leaving."

#: Seconds to connect for the sign of life; the worker serves nothing else meanwhile.
_CONNECT_TIMEOUT_S = 2.0
#: Kept until the process ends: that is what tells the other side that it has.
_signs_of_life: list[Connection] = []


def answer_halt(app: Celery) -> None:
    """Let the workers of the app answer `celery -A anyapp queues halt` before they leave.

    Without it they are told with Celery's own `shutdown`, which gives no answer, and how long their last
    tasks take is not seen.
    """

    def register(instance: Any, **_: object) -> None:  # noqa: ANN401 Celery's worker
        if instance.app is app:
            # Only here: a client that publishes needs nothing of a worker's modules.
            from celery.worker.control import Panel  # noqa: PLC0415 see above

            Panel.register(name=HALT, type="control", help="Answer, then shut down warmly.")(halt)  # type: ignore[call-arg] # unlike celery-types

    celeryd_init.connect(register, weak=False, dispatch_uid=f"proj.answer_halt.{id(app)}")


def halt(state: Any, **_: object) -> dict[str, object]:  # noqa: ANN401 Celery's panel state
    """What is left to do here and under which queue's name the end can be seen; then a warm shutdown begins.

    Celery's `shutdown` raises inside the command, so its answer is never sent. This sets what the signal
    handler of SIGTERM sets, and the loop leaves when the answer is on its way.
    """
    from celery.worker import state as worker_state  # noqa: PLC0415 only a worker has it loaded

    answer = {
        "ok": "halting",
        "running": len(worker_state.active_requests),
        "held": len(worker_state.reserved_requests) - len(worker_state.active_requests),
        "leaving": _sign_of_life(state.app),
    }
    # Before the signal, whose receivers may fail.
    worker_state.should_stop = 0  # type: ignore[assignment] # unlike celery-types
    worker_shutting_down.send(sender=state.hostname, sig="halt", how="Warm", exitcode=0)
    return answer


def _sign_of_life(app: Celery) -> str | None:
    """The name of a queue that the broker removes when this process has ended, however it does; None if it refuses."""
    name = f"{LEAVING}{uuid.uuid4()}"
    # Without a heartbeat, which a worker that waits for its pool would not send.
    connection = app.connection_for_write(heartbeat=0, connect_timeout=_CONNECT_TIMEOUT_S)
    try:
        default_channel(connection).queue_declare(queue=name, exclusive=True, auto_delete=False)
    except (*connection.connection_errors, *connection.channel_errors):
        with contextlib.suppress(Exception):
            connection.release()
        return None
    _signs_of_life.append(connection)
    return name
