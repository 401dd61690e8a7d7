"""A stage of a pipeline as a Celery task: what it hands on is safe before what it was given is acknowledged."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

from celery import Task
from celery.exceptions import Reject

from proj.errors import QueueFull, Unconfirmed

if TYPE_CHECKING:
    from celery.canvas import Signature
    from celery.result import AsyncResult

#: Whence the ids of outputs are derived; another one would make other ids of the same inputs.
_OUTPUTS = UUID("6d3a1f0c-5a53-4c55-9a0e-6f1f3f5a2b11")
#: Where an execution counts what it has handed on: an attribute of its own request.
_HANDED_ON = "proj_handed_on"


class Stage(Task):  # type: ignore[type-arg] # unlike celery-types
    """The base of tasks that take a message from one queue, work, and hand on to the next queue.

    A stage of one's own is a task with this base and a queue; `celery -A yourapp worker -Q shout` is a worker of it::

        app.conf.task_routes = {"yourapp.shout": {"queue": "shout"}}

        @app.task(base=Stage, bind=True)
        def shout(self, text):
            self.hand_on(printer.s(f"{text}!"))

    It streams: the next stage works on the first output while this one is at its second input. It may hand on
    nothing (a filter, or the last stage) or several.

    Nothing is lost: `hand_on` returns when the broker has the output on disk, and the input is acknowledged after the
    task's end, also under round-robin dispatch. A stage that dies before that does its input again. One that raises
    leaves its input among the dead letters, with the error as the reason, from where `queues dead --requeue` has it
    done again. What no queue takes is such an error; where a queue is full or the broker gone for longer than a publish
    waits, the input goes back to its own queue instead (`proj_requeues` times).

    Nothing is doubled unseen: an output's id is derived from its input's. A stage that does an input again hands on
    the same ids again, and a journal counts a task of one id that was done twice. (A plain message of another client
    has an id of its own only when it has a `message_id`; without one, each delivery of it is a stranger.)
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    #: Rejected and not acknowledged, a failed input becomes a dead letter.
    acks_on_failure = False
    acks_on_timeout = False

    def hand_on(self, signature: Signature) -> AsyncResult:  # type: ignore[type-arg] # unlike celery-types
        """Publish the signature as the next output of this input, and return when the broker has confirmed it.

        Its result goes to whoever waits for this stage's, and to nobody when nobody does.

        Raises:
            TypeError: it is no signature.
            Reject: it could not be confirmed; the input goes back to its queue. Let it pass.
            PublishRefused: the broker will never have it; let it pass, and the input becomes a dead letter.
        """
        if not isinstance(getattr(signature, "task", None), str):
            raise TypeError(
                f"hand_on takes a signature, such as printer.s(text), but was given {reprlib.repr(signature)} "
                f"({type(signature).__name__})."
            )
        request = self.request
        number = getattr(request, _HANDED_ON, 0)
        setattr(request, _HANDED_ON, number + 1)
        try:
            return signature.apply_async(
                # Called as a function, it has no id and no one who waits.
                task_id=output_id(request.id, signature.task, number) if request.id else None,  # type: ignore[arg-type] # unlike celery-types
                reply_to=request.reply_to,
                ignore_result=bool(request.ignore_result),
            )
        except (Unconfirmed, QueueFull) as error:
            raise Reject(str(error), requeue=True) from error


def output_id(input_id: str, task: str, number: int = 0) -> str:
    """The id of the output that a stage's input of this id becomes, counted from 0: always the same.

    The name of the output's task is part of it, so that two stages that were given the same id differ in theirs.
    """
    return str(uuid5(_OUTPUTS, f"{input_id} {task} {number}"))


def name_of(task: Any) -> str:  # noqa: ANN401 Celery has no types
    """What the worker that runs the task is called, without its host: as the tutorials' consumers are, `P1`."""
    return str(task.request.hostname or "").partition("@")[0]
