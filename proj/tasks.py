"""The tasks of the app; `dots` and `delivery.stage` do their work."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from celery.utils.log import get_task_logger

from proj.celery import app
from proj.delivery.stage import Stage, name_of
from proj.dots import duration_s, text_of, weigh

if TYPE_CHECKING:
    from celery import Task

#: Dots of work that each stage does for a message. Printing takes twice as long, as in the tutorials.
UPPERCASE_DOTS, PRINT_DOTS = 1, 2

logger = get_task_logger(__name__)


@app.task(bind=True)
def work(self: Task[..., Any], message: object) -> dict[str, Any]:
    """Work for one unit of time for each dot, and return what was done by which worker.

    The message is a text such as "hello...", or the result of an earlier `work`: then its message is worked on again,
    so `work.s("hello.") | work.s()` is a chain.

    Returns:
        message, dots, seconds (measured), worker (its node name), attempt (0 at first, one more for
        each retry) and redelivered (True when another worker may have started it before).

    Raises:
        InvalidMessage: the message is not a text.
    """
    if isinstance(message, dict) and "message" in message:
        message = message["message"]
    seconds = duration_s(message, self.app.conf.proj_dot_seconds)
    logger.info(" [x] Received %r", message, extra={"action": "message_received"})
    begun = time.monotonic()
    time.sleep(seconds)  # this is the work, as in the tutorials
    logger.info(" [x] Done", extra={"action": "message_done"})
    return {
        "message": message,
        "dots": weigh(message),
        "seconds": round(time.monotonic() - begun, 3),
        "worker": self.request.hostname,
        "attempt": self.request.retries,
        "redelivered": bool((self.request.delivery_info or {}).get("redelivered")),
    }


@app.task(bind=True, base=Stage)
def to_upper(self: Stage, message: object) -> str:
    """The first stage of the tutorials' pipeline: works for one dot, then sends the message to `printer` in capitals.

    Returns:
        The id of the `printer` task.

    Raises:
        InvalidMessage: the message is not a text.
    """
    text = text_of(message)
    logger.info("%s: %s", name_of(self), text, extra={"action": "stage_output"})
    time.sleep(UPPERCASE_DOTS * self.app.conf.proj_dot_seconds)
    return str(self.hand_on(printer.s(text.upper())).id)


@app.task(bind=True, base=Stage)
def printer(self: Stage, message: object) -> str:
    """The last stage of the tutorials' pipeline: works for two dots, then writes the message into the worker's log.

    Returns:
        The text.

    Raises:
        InvalidMessage: the message is not a text.
    """
    text = text_of(message)
    time.sleep(PRINT_DOTS * self.app.conf.proj_dot_seconds)
    logger.info("%s: %s", name_of(self), text, extra={"action": "stage_output"})
    return text
