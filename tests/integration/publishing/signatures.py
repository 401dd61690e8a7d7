"""Tasks for `send_many`, by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery
    from celery.canvas import Signature


def signatures(app: Celery, count: int, **options: Any) -> Iterator[Signature]:
    """Tasks with the ids "0", "1" and so on."""
    return (app.tasks["note"].s(number).set(task_id=str(number), **options) for number in range(count))


def ids(count: int) -> set[str]:
    return {str(number) for number in range(count)}
