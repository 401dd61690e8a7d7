"""The failure of a refused message: who publishes it to the caller, while the worker runs and while it ends."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery
from celery.backends.rpc import RPCBackend

from proj.delivery.consuming import message_copy
from proj.delivery.consuming.disposition import Disposition
from proj.delivery.install import install
from proj.delivery.validation.message import Contents, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("are_sent", [True, False])
def test_failure_of_a_refused_message_is_published_by_the_sender_or_without_it(
    monkeypatch: pytest.MonkeyPatch, *, are_sent: bool
) -> None:
    """When a worker ends, its sender stops before its forwarder: the forwarder's thread publishes the failure then."""
    confirmed: list[Callable[[], None]] = []
    published: list[str] = []
    handed_over: list[Any] = []
    monkeypatch.setattr(message_copy, "letter", lambda _message, *, then, **_: then)
    monkeypatch.setattr(RPCBackend, "store_result", lambda _self, task_id, *_, **__: published.append(task_id))
    with Celery("theirs", backend="rpc://", set_as_current=False) as app:
        install(app)
        consumer: Any = SimpleNamespace(
            app=app,
            hostname="w@host",
            event_dispatcher=None,
            forwarder=SimpleNamespace(send=confirmed.append),
            results=SimpleNamespace(are_sent=are_sent),
            call_soon=lambda _send, results: handed_over.extend(results),
        )
        message: Any = SimpleNamespace(
            label="'1'",
            properties={"reply_to": "theirs", "correlation_id": "1"},
            delivery=SimpleNamespace(
                contents=Contents({"id": "1", "task": "add"}, [], {}, {}), history=SimpleNamespace(attempts=1)
            ),
        )

        Disposition(consumer).refuse(message, Refusal("Its arguments do not fit."))
        for then in confirmed:
            then()

    assert published == ([] if are_sent else ["1"])
    assert [result.queue for result in handed_over] == (["theirs"] if are_sent else [])
