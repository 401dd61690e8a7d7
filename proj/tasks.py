"""The tasks, as thin shells: what they do is in `dots`."""

from __future__ import annotations

import time
from typing import Any

from celery.utils.log import get_task_logger

from proj.celery import app
from proj.dots import duration_s, weigh

logger = get_task_logger(__name__)


@app.task(bind=True)  # type: ignore[untyped-decorator] # Celery has no types
def work(self: Any, message: Any) -> dict[str, Any]:  # noqa: ANN401, D417 self is Celery's, a message whatever was sent
    """Wait one unit a dot, and say who did what.

    Args:
        message: a text such as "hello..."; or the result of an earlier `work`, whose message is
            then done again, so that `work.s("hello.") | work.s()` is a chain.

    Returns:
        message, dots, seconds (measured), worker (its node name), attempt (0 at first, then one more
        for each retry) and redelivered (whether a worker before this one may have begun it).

    Raises:
        InvalidMessage: the message is not a text.
    """
    if isinstance(message, dict) and "message" in message:
        message = message["message"]
    seconds = duration_s(message, self.app.conf.proj_dot_seconds)
    logger.info(" [x] Received %r", message)
    begun = time.monotonic()
    time.sleep(seconds)  # this is the work: the tutorials' stand-in for something slow
    logger.info(" [x] Done")
    return {
        "message": message,
        "dots": weigh(message),
        "seconds": round(time.monotonic() - begun, 3),
        "worker": self.request.hostname,
        "attempt": self.request.retries,
        "redelivered": bool((self.request.delivery_info or {}).get("redelivered")),
    }
