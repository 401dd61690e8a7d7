"""A pool process that is terminated for a task which has ended there meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from billiard.einfo import ExceptionInfo  # type: ignore[attr-defined] # celery-types lacks it
from billiard.exceptions import Terminated
from celery.exceptions import WorkerLostError
from celery.worker import request as stock

from proj.delivery.consuming.request import Request


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The exceptions that Celery's own request is given."""
    seen: list[BaseException] = []
    monkeypatch.setattr(stock.Request, "on_failure", lambda _self, info, *_: seen.append(info.exception))
    return seen


def terminated() -> Any:
    def end() -> None:
        raise Terminated(-15)

    try:
        end()
    except Terminated:
        return ExceptionInfo()


def request(*, revoked: bool = False, cancelled: bool = False) -> Any:
    made: Any = object.__new__(Request)
    vars(made).update(_already_revoked=revoked, _already_cancelled=cancelled)
    vars(made).update(_task=SimpleNamespace(acks_late=True, reject_on_worker_lost=True))
    return made


def the(failures: list[BaseException]) -> BaseException:
    (failure,) = failures
    return getattr(failure, "exc", failure)


def test_task_that_nobody_wanted_to_terminate_is_run_again(failures: list[BaseException]) -> None:
    """Celery takes it for a revoked one, and acknowledges it. It is no suspect either."""
    innocent = request()

    innocent._fail(terminated(), send_failed_event=True, return_ok=False)  # noqa: SLF001

    assert isinstance(the(failures), WorkerLostError)
    assert innocent._killed_by is None  # noqa: SLF001


@pytest.mark.parametrize("why", ["revoked", "cancelled"])
def test_task_that_was_to_be_terminated_is_left_to_celery(failures: list[BaseException], why: str) -> None:
    """Celery has told of it when it sent the signal."""
    request(**{why: True})._fail(terminated(), send_failed_event=True, return_ok=False)  # noqa: SLF001

    assert isinstance(the(failures), Terminated)
