"""A task that asks to be tried again, for workers of the app in `test_exchanges.py`."""

from __future__ import annotations

from typing import Any

from celery.utils.log import get_task_logger

from proj.celery import app

logger = get_task_logger(__name__)


@app.task(bind=True, name="tests.try_again")  # type: ignore[untyped-decorator] # Celery has no types
def try_again(self: Any, text: str, countdown_s: float) -> None:
    """Say so, and ask for one retry."""
    logger.info(" [x] Received %r", f"{text}, try {self.request.retries}")
    if self.request.retries == 0:
        raise self.retry(countdown=countdown_s)
