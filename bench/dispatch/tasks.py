"""The tasks that are measured; every Celery app of the measurement has them, ours too (`--include dispatch.tasks`)."""

from __future__ import annotations

from celery import shared_task

from dispatch.mark import write_mark


@shared_task(name="bench.nothing")
def nothing() -> dict[str, object]:
    """Do nothing; the value is as large as that of our own `work`, and sent only where results are not ignored."""
    return {"message": "hello", "dots": 0, "seconds": 0.0, "worker": "w@host", "attempt": 0, "redelivered": False}


@shared_task(name="bench.mark", ignore_result=True)
def mark(folder: str, which: str) -> None:
    """Write the time and the processor time."""
    write_mark(folder, which)
