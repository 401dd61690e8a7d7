"""The command `proj_follow_pauses` on Celery's control bus: a worker looks whether a queue is paused, and replies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from celery import Celery

#: The command's name on the control bus.
FOLLOW = "proj_follow_pauses"


@dataclass(frozen=True, kw_only=True)
class FollowReply:
    """What a worker says of one queue; what it does about a pause follows the reply, so it is asked again."""

    #: It consumes from the queue.
    consumes: bool
    #: It would, and leaves it alone, because it is paused.
    paused: bool
    #: Tasks of the queue that it runs.
    running: int
    #: Those that its pool has and has not begun, which take a moment.
    starting: int
    #: Messages of the queue that it has given back since it was paused.
    given_back: int
    #: Why it goes on consuming from a queue that is paused; None when it does not.
    refused: str | None

    def is_final(self, *, paused: bool) -> bool:
        """Whether nothing is left to do, when the queue is to be paused, or is not to be."""
        # A queue that the worker refuses to leave alone was never paused, so there is nothing to resume either.
        if self.refused is not None:
            return True
        return not self.consumes and not self.starting if paused else not self.paused


def answer_pauses(app: Celery) -> None:
    """Let the workers of the app leave paused queues alone, and answer `celery -A anyapp queues pause` and `resume`.

    It needs our consumer (`proj.delivery.consuming.keep_messages`).
    """
    # By its name, because a client that publishes needs nothing of a worker's modules.
    app.steps["consumer"].add("proj.delivery.pausing.answer:FollowPauses")


def read_follow(reply: Mapping[Any, Any]) -> FollowReply | None:
    """The reply to the command; None when it is an error, because the worker does not know the command."""
    if "ok" not in reply:
        return None
    refused = reply.get("refused")
    return FollowReply(
        consumes=reply.get("consumes") is True,
        paused=reply.get("paused") is True,
        running=_count(reply.get("running")),
        starting=_count(reply.get("starting")),
        given_back=_count(reply.get("given_back")),
        refused=refused if isinstance(refused, str) else None,
    )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
