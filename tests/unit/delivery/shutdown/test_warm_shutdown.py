"""Which pool a worker gets: ours in the place of Celery's prefork and thread pools, and else the user's choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import celery.concurrency.prefork
import celery.concurrency.solo
import pytest
from celery import Celery
from celery.result import _set_task_join_will_block

from proj.delivery.pool import prefork, thread

if TYPE_CHECKING:
    from collections.abc import Iterator


class CustomPool(celery.concurrency.prefork.TaskPool):
    """A pool of the user's, as `--pool custom` takes it."""


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("warm", broker="memory://", set_as_current=False)
    app.steps["worker"].add("proj.delivery.shutdown.warm_shutdown:WarmShutdown")
    yield app
    # A worker that is made forbids its process to wait for results, which other tests in it do.
    _set_task_join_will_block(blocks=False)


@pytest.mark.parametrize(
    ("chosen", "ours"),
    [
        ("prefork", prefork.TaskPool),
        ("processes", prefork.TaskPool),
        (celery.concurrency.prefork.TaskPool, prefork.TaskPool),
        ("threads", thread.TaskPool),
    ],
)
def test_worker_has_our_pool_where_the_user_chose_the_stock_one(app: Celery, chosen: object, ours: type) -> None:
    """By its name, by its old name, or as the class that the command line hands over."""
    worker = app.WorkController(pool=chosen, concurrency=1)

    assert type(worker.pool) is ours


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ("solo", celery.concurrency.solo.TaskPool),
        (CustomPool, CustomPool),
    ],
)
def test_worker_has_the_pool_that_the_user_chose(app: Celery, chosen: object, expected: type) -> None:
    """Also a pool of the user's own that extends Celery's."""
    worker = app.WorkController(pool=chosen, concurrency=1)

    assert type(worker.pool) is expected


def test_banner_names_the_pool_as_celery_does() -> None:
    """It prints the last part of the module's name."""
    assert prefork.TaskPool.__module__.rpartition(".")[2] == "prefork"
    assert thread.TaskPool.__module__.rpartition(".")[2] == "thread"
