"""What a worker replies to `proj_halt`, without a broker."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from celery.worker import state as worker_state

from proj.delivery.shutdown import halt_reply


@pytest.mark.parametrize(
    ("consumer", "held"),
    [
        (SimpleNamespace(dispatcher=SimpleNamespace(held=("one", "two", "three"))), 4),
        (SimpleNamespace(dispatcher=None), 1),
        # An app may have a consumer of its own.
        (SimpleNamespace(), 1),
    ],
)
def test_reply_counts_the_messages_that_wait_in_adaptive_dispatch(
    consumer: SimpleNamespace, held: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Celery does not know them before a slot is free."""
    monkeypatch.setattr(halt_reply, "_queue_until_the_end", lambda _app: "proj.leaving.1")
    monkeypatch.setattr(worker_state, "should_stop", None)
    monkeypatch.setattr(worker_state, "active_requests", {"running"})
    monkeypatch.setattr(worker_state, "reserved_requests", {"running", "received"})

    reply = halt_reply.halt(SimpleNamespace(app=None, hostname="worker@host", consumer=consumer))

    assert (reply["running"], reply["held"]) == (1, held)
