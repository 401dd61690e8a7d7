"""Tracers of tasks whose result backend is away, without a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery, states
from celery.app.trace import build_tracer
from celery.backends.base import KeyValueStoreBackend
from celery.exceptions import Retry

from proj.delivery.results.lost_results import LostResults
from proj.delivery.results.storing import NotRun, may_be_away, trace_tasks

if TYPE_CHECKING:
    from collections.abc import Callable

LATE = object()


class Backend(KeyValueStoreBackend):
    """It refuses as many times as it is told, and keeps the rest."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.refusals = 0
        self.kept: dict[Any, Any] = {}

    def get(self, key: Any) -> Any:
        return self.kept.get(key)

    def set(self, key: Any, value: Any) -> None:
        if self.refusals:
            self.refusals -= 1
            raise RuntimeError("out of memory")
        self.kept[key] = value


class Traced:
    """An app with one task, whose tracer tries again for so many seconds; `run` gets this object."""

    def __init__(self, run: Callable[[Traced], object], *, late: bool = True, tried_s: float = 0.0) -> None:
        self.app = Celery(set_as_current=False, backend=f"{__name__}:Backend", task_track_started=True)
        self.app.conf["proj_result_timeout_s"] = tried_s
        self.ran = 0

        def task() -> object:
            self.ran += 1
            return run(self)

        self.task: Any = self.app.task(task, name="task", acks_late=late, shared=False)
        self.task.Request = LATE
        self.task.__trace__ = build_tracer("task", self.task, app=self.app)
        self.lost = LostResults()
        trace_tasks(self.app, {LATE}, self.lost.add)
        self.backend: Any = self.task.backend

    def refuse(self, times: int = 99) -> None:
        """From here on, so many states are not stored."""
        self.backend.refusals = times

    def trace(self) -> Any:
        return self.task.__trace__("id", (), {}, {"id": "id"})

    @property
    def kept(self) -> Any:
        return self.app.AsyncResult("id")


def test_task_is_not_run_while_started_cannot_be_stored() -> None:
    """It is given back, which is no failure."""
    traced = Traced(lambda _: 1)
    traced.refuse()

    with pytest.raises(NotRun, match="out of memory") as raised:
        traced.trace()
    assert raised.value.requeue
    assert traced.ran == 0


def test_task_that_is_acknowledged_already_is_run_all_the_same() -> None:
    """Nobody would deliver it again."""
    traced = Traced(lambda _: 1, late=False)
    traced.refuse(1)

    assert traced.trace().retstr == "1"
    assert (traced.ran, traced.kept.state) == (1, states.SUCCESS)


def test_state_is_stored_when_the_backend_is_back_in_time() -> None:
    """It is tried again after a tenth of a second, and then less often."""
    traced = Traced(lambda _: 1, tried_s=20.0)
    traced.refuse(2)

    assert traced.trace().info is None
    assert (traced.ran, traced.kept.state) == (1, states.SUCCESS)


def succeed(traced: Traced, refusals: int = 99) -> str:
    traced.refuse(refusals)
    return "value"


def fail(traced: Traced, refusals: int = 99) -> None:
    traced.refuse(refusals)
    raise LookupError("mine")


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_end_of_a_task_is_a_success_although_its_result_is_lost() -> None:
    """It ran, and its message is acknowledged as that of any other."""
    traced = Traced(succeed)
    ended = traced.trace()

    assert (ended.info, ended.retstr, traced.ran) == (None, "'value'", 1)
    assert traced.lost.count() == 1


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_end_of_a_task_is_its_own_failure_although_it_is_lost() -> None:
    """And not that of the backend."""
    ended = Traced(fail).trace()

    assert ended.info.state == states.FAILURE
    assert isinstance(ended.retval.exception.exc, LookupError)


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_own_failure_of_a_task_is_stored_when_celery_tries_once_more() -> None:
    """Celery would store the error of the backend in its place."""
    traced = Traced(lambda traced: fail(traced, 1))
    traced.trace()

    assert isinstance(traced.kept.result, LookupError)
    assert traced.lost.count() == 0


@pytest.mark.filterwarnings("ignore:Exception raised outside body")
def test_result_that_cannot_be_stored_as_it_is_makes_the_task_fail() -> None:
    """One that is too long for its column, say: the caller is told why it gets none."""
    traced = Traced(lambda traced: succeed(traced, 1))

    assert traced.trace().info.state == states.FAILURE
    assert "could not be stored" in str(traced.kept.result)


def test_retry_whose_state_cannot_be_stored_is_a_retry() -> None:
    """Its message is published already."""

    def retry(traced: Traced) -> None:
        traced.refuse()
        raise Retry("later")

    assert Traced(retry).trace().info.state == states.RETRY


def test_state_that_a_task_sets_is_its_own_affair() -> None:
    """Its error is raised in the task at once, as without us."""

    def progress(traced: Traced) -> None:
        traced.refuse(1)
        with pytest.raises(RuntimeError):
            traced.backend.store_result("id", None, "PROGRESS")

    traced = Traced(progress, tried_s=60.0)
    traced.trace()

    assert traced.kept.state == states.SUCCESS


def test_results_over_the_broker_and_none_at_all_are_not_tried_here() -> None:
    """Without the broker no task runs either."""
    urls = ("rpc://", None, "file:///tmp")

    assert [may_be_away(Celery(set_as_current=False, backend=url)) for url in urls] == [False, False, True]
