"""What becomes of a message that its worker could not give to the pool."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import TaskRevokedError
from celery.worker import request as stock_request
from celery.worker import state

from proj.delivery.consuming.request import Request
from tests.unit.delivery.consuming.received import received

app = Celery("refusing", set_as_current=False)


@app.task(name="refused", acks_late=True)
def refused() -> None:
    """Never run."""


@pytest.mark.parametrize("ending", [None, "should_stop", "should_terminate"])
def test_message_that_the_pool_refuses_is_a_dead_letter_unless_the_worker_ends(
    ending: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shutdown closes the pool in a signal handler, which may interrupt the worker as it gives a message to it."""

    def refuse(*_: object, **__: object) -> None:
        # An exit code of 0 ends the worker too.
        if ending is not None:
            monkeypatch.setattr(state, ending, 0)
        raise OSError("handle is closed")

    reasons: list[str] = []
    message = received(
        b"[[], {}, {}]", content_type="application/json", application_headers={"id": "refused", "task": refused.name}
    )
    message.accept = {"application/json"}

    def dead_letter(_message: object, reason: str, *, ran: bool | None) -> None:
        assert ran is False
        reasons.append(reason)

    message.disposition = SimpleNamespace(dead_letter=dead_letter)  # type: ignore[assignment] # all that is asked of it
    pool: Any = SimpleNamespace(apply_async=refuse)
    made = stock_request.create_request_cls(Request, app.tasks[refused.name], pool, "host", None, app=app)
    request = made(message, app=app, task=app.tasks[refused.name])

    with pytest.raises(TaskRevokedError):
        request.execute_using_pool(pool)

    assert reasons == ([] if ending else ["It did not run, because it cannot be given to the pool: handle is closed."])
    # Unless it is a dead letter, the worker gives it back at its end.
    assert request.acknowledged is (ending is None)
    assert not message.acknowledged
    assert request.has_ended
