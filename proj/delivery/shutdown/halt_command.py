"""The command `proj_halt` on Celery's control bus: a worker replies, and then shuts down as after SIGTERM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery

#: The command's name on the control bus.
HALT = "proj_halt"


@dataclass(frozen=True, kw_only=True)
class HaltReply:
    """What a worker replied when it got the command; a field is None when it did not say."""

    #: Tasks that it was running.
    running: int | None
    #: Messages that it had received and not started.
    held: int | None
    #: The queue that the broker deletes when the worker's process has ended.
    leaving: str | None


def answer_halt(app: Celery) -> None:
    """Let the workers of the app answer `celery -A anyapp queues halt` before they shut down.

    Without it they are sent Celery's own `shutdown`, which gives no reply, and nothing shows how long their last
    tasks take.
    """
    # By its name, because a client that publishes needs nothing of a worker's modules.
    app.steps["worker"].add("proj.delivery.shutdown.halt_reply:AnswerHalt")


def read_halt(reply: Mapping[Any, Any]) -> HaltReply | None:
    """The reply to the command; None when it is an error, because the worker does not know the command."""
    if "ok" not in reply:
        return None
    running, held, leaving = (reply.get(key) for key in ("running", "held", "leaving"))
    return HaltReply(
        running=running if isinstance(running, int) else None,
        held=held if isinstance(held, int) else None,
        leaving=leaving if isinstance(leaving, str) else None,
    )
