"""A stage of a pipeline as a Celery task: its output is confirmed before its input is acknowledged."""

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

#: The namespace of the ids of outputs; another one would give the same inputs other ids.
_OUTPUTS = UUID("6d3a1f0c-5a53-4c55-9a0e-6f1f3f5a2b11")
#: The attribute of its request in which an execution counts its outputs.
_HANDED_ON = "proj_handed_on"


class Stage(Task[..., Any]):
    """The base of tasks that take a message from one queue, work, and hand their output on to the next queue.

    A stage is a task with this base and a queue of its own; `celery -A yourapp worker -Q shout` is a worker of it::

        app.conf.task_routes = {"yourapp.shout": {"queue": "shout"}}

        @app.task(base=Stage, bind=True)
        def shout(self, text):
            self.hand_on(printer.s(f"{text}!"))

    Outputs go on one by one: the next stage works on the first output while this one works on its second input. A stage
    may hand on nothing (a filter, or the last stage) or several outputs.

    Nothing is lost. `hand_on` returns when the broker has the output on disk, and the input is acknowledged after the
    end of the task, also under round-robin dispatch. When a worker dies before that, the input is redelivered. When the
    task raises, its input becomes a dead letter with the error as the reason, and `queues dead --requeue` runs it
    again. An output that reaches no queue is such an error. When a queue stays full or the broker stays away for longer
    than a publish waits, the input goes back to its own queue instead (`proj_requeues` times).

    No duplicate goes unseen. The id of an output is derived from the id of its input, so a stage that runs again hands
    on the same ids again, and a journal counts a task whose id was run twice. (A plain message of another client has an
    id only when it has a `message_id`; without one, each of its deliveries counts as another message.)
    """

    abstract = True
    acks_late = True
    reject_on_worker_lost = True
    #: A failed input is rejected and not acknowledged, so it becomes a dead letter.
    acks_on_failure = False
    acks_on_timeout = False

    def hand_on(self, signature: Signature[Any]) -> AsyncResult[Any]:
        """Publish the signature as the next output of this input, and return when the broker has confirmed it.

        Its result goes to the caller that waits for the result of this stage, if any.

        Raises:
            TypeError: it is no signature.
            Reject: it was not confirmed, so the input goes back to its queue. Do not catch it.
            PublishRefused: the broker will never accept it. If you do not catch it, the input becomes a dead letter.
        """
        task = getattr(signature, "task", None)
        if not isinstance(task, str):
            raise TypeError(
                f"hand_on takes a signature, such as printer.s(text), but was given {reprlib.repr(signature)} "
                f"({type(signature).__name__})."
            )
        request = self.request
        number = getattr(request, _HANDED_ON, 0)
        setattr(request, _HANDED_ON, number + 1)
        try:
            return signature.apply_async(
                # A stage that is called as a function has no id, and no caller waits for its result.
                task_id=output_id(request.id, task, number) if request.id else None,
                reply_to=request.reply_to,
                ignore_result=bool(request.ignore_result),
            )
        except (Unconfirmed, QueueFull) as error:
            raise Reject(str(error), requeue=True) from error


def output_id(input_id: str, task: str, number: int = 0) -> str:
    """The id of the output that a stage hands on for an input, always the same; `number` counts from 0.

    It depends on the name of the output's task, so two stages with the same input id hand on different ids.
    """
    return str(uuid5(_OUTPUTS, f"{input_id} {task} {number}"))


def name_of(task: Task[..., Any]) -> str:
    """The name of the worker that runs the task, without its host: `P1`, as the tutorials call their consumers."""
    return str(task.request.hostname or "").partition("@")[0]
