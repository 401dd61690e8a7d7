"""The consumer of an app's workers, which an app may have set itself."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from celery import Celery

from proj.delivery.consuming.consumer import Consumer
from proj.delivery.consuming.keep_messages import CONSUMER, WarnOfOtherConsumer, keep_messages

STOCK = "celery.worker.consumer:Consumer"


class Derived(Consumer):
    """What an app may make of ours."""


def warnings(app: Celery, caplog: pytest.LogCaptureFixture) -> int:
    with caplog.at_level(logging.WARNING):
        WarnOfOtherConsumer(SimpleNamespace(app=app))  # type: ignore[arg-type] # all that it reads of a worker
    return sum(record.__dict__["action"] == "other_consumer" for record in caplog.records)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize(("chosen", "expected"), [(STOCK, 1), (f"{__name__}:Derived", 0), (None, 0)])
def test_worker_says_that_its_app_has_a_consumer_of_its_own(
    caplog: pytest.LogCaptureFixture, chosen: str | None, expected: int, *, is_first: bool
) -> None:
    """It is used, whether it was set before or after; only without ours are there no dead letters."""
    app = Celery("theirs", set_as_current=False)
    settings = {} if chosen is None else {"worker_consumer": chosen}
    if is_first:
        app.config_from_object(settings)
        assert app.conf.worker_consumer
    keep_messages(app)
    app.conf.update(settings)

    assert app.conf.worker_consumer == (chosen or CONSUMER["worker_consumer"])
    assert warnings(app, caplog) == expected
