"""The sender of results: for how long it tries a reply queue that rejects."""

from __future__ import annotations

import pytest
from celery import Celery

from proj.delivery.install import install
from proj.delivery.results.sender import Sender


@pytest.mark.parametrize(("url", "seconds"), [("amqp://one", 10.0), ("amqp://one;amqp://two", 90.0)])
def test_result_waits_for_a_node_of_a_cluster_that_is_restarted(url: str, seconds: float) -> None:
    """A reply queue is on one node, which rejects while it is away as a full queue does; a restart takes over 10 s."""
    with Celery(broker=url, set_as_current=False) as app:
        install(app)
        results = Sender(app)._begin(app.connection_for_write())  # noqa: SLF001 it connects when there is something to send

        assert results._full_timeout_s == seconds  # noqa: SLF001 as above
