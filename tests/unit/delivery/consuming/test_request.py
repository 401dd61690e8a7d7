"""In which order a request does things at the end of its task, without a worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from proj.delivery.consuming.request import Request


class Ended(Request):
    """A request whose message is settled by a call that the test sees, as Celery makes one for each task."""

    def on_success(self, _outcome: object, **_: object) -> None:
        self.calls.append("settled")

    calls: list[str]


def ended(calls: list[str], *, free_slot: Any) -> Any:
    request: Any = object.__new__(Ended)
    request.calls = calls
    request._message = SimpleNamespace(dispatcher=SimpleNamespace(ended=free_slot))  # noqa: SLF001 no setter
    return request


def test_slot_is_free_before_the_message_of_its_task_is_settled() -> None:
    """The pool runs the next task meanwhile."""
    calls: list[str] = []

    ended(calls, free_slot=lambda _message: calls.append("slot is free")).on_success((False, "None", 0.1))

    assert calls == ["slot is free", "settled"]


def test_message_is_settled_also_when_the_next_one_could_not_be_begun() -> None:
    """The connection may be lost at that moment, and the result is sent only once."""
    calls: list[str] = []

    def lost(_message: object) -> None:
        raise ConnectionError

    try:
        ended(calls, free_slot=lost).on_success((False, "None", 0.1))
    except ConnectionError:
        calls.append("lost")

    assert calls == ["settled", "lost"]
