"""What a worker tells of its dispatch mode, from its first answer on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.prefork import TaskPool as Prefork
from celery.concurrency.solo import TaskPool as Solo

from proj.delivery.dispatch.adapt import AdaptDispatch
from proj.journal.worker_info import dispatch


def said(pool: type, *, mode: str) -> tuple[Any, str | None]:
    """What `inspect stats` shows of a worker that is still starting, and the mode that a monitor takes from it."""
    app = Celery(broker="amqp://", set_as_current=False)
    app.conf.update(proj_dispatch=mode, task_acks_late=True, worker_prefetch_multiplier=1)
    consumer = SimpleNamespace(app=app, dispatcher=None, is_amqp=True, hub=object(), pool=pool.__new__(pool))
    stats = AdaptDispatch(consumer).info(consumer)  # type: ignore[arg-type] # as much of a consumer as it reads
    adapts = stats.get("dispatch", {}).get("mode") == "adaptive"
    return stats, dispatch(dict(app.conf.table(with_defaults=True)), adapts=adapts)


def test_starting_worker_tells_of_the_mode_that_it_will_have() -> None:
    """It answers commands before its dispatcher is made, and whoever has an answer does not ask again."""
    assert said(Prefork, mode="adaptive") == ({"dispatch": {"mode": "adaptive"}}, "adaptive")


@pytest.mark.parametrize(("pool", "mode"), [(Solo, "adaptive"), (Prefork, "fair")])
def test_starting_worker_that_cannot_do_it_or_need_not_tells_nothing(pool: type, mode: str) -> None:
    """Its settings then say which mode it has."""
    assert said(pool, mode=mode) == ({}, "fair")
