"""The lab sends run marks in the form that the dashboard reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from proj.dashboard.live.runs import RunMark, parsed_mark
from proj.lab.runs.run_marks import mark_began, mark_ended

if TYPE_CHECKING:
    from collections.abc import Callable

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version


@pytest.mark.parametrize(("send", "state"), [(mark_began, "began"), (mark_ended, "ended")])
def test_mark_that_the_lab_sends_is_the_mark_that_the_dashboard_reads(
    broker: Broker, vhost: str, send: Callable[..., None], state: str
) -> None:
    """Both use the same event, though neither imports the other."""
    heard: list[dict[str, Any]] = []
    with (
        Celery("marks", set_as_current=False, broker=broker.url(vhost)) as app,
        app.connection_for_write() as connection,
    ):
        receiver = app.events.Receiver(connection, handlers={"dispatch-run": heard.append})
        with receiver.consumer_context() as (own, _, _):
            send(app, connection, run="fair-1", queues=["b", "a"])
            own.drain_events(timeout=10)

    assert [parsed_mark(event) for event in heard] == [RunMark(run="fair-1", state=state, queues=frozenset({"a", "b"}))]
