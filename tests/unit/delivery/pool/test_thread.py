"""Threads of a pool that go on by themselves."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proj.delivery.pool.thread import TaskPool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds for what takes no time.
DEADLINE_S = 10.0


@pytest.fixture
def pool() -> Iterator[Any]:
    made: Any = TaskPool(1)
    yield made
    made.on_stop()


class Tasks:
    """Tasks that note their number and their thread, and call `at_end` when the pool tells their end."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.ran: list[tuple[int, int]] = []
        self.all_ran = threading.Event()

    def give(self, number: int, at_end: Callable[[], object] = lambda: None) -> object:
        def target() -> None:
            self.ran.append((number, threading.get_ident()))

        return self.pool.on_apply(target, (), {}, callback=lambda _returned: at_end())

    @property
    def numbers(self) -> list[int]:
        return [number for number, _thread in self.ran]


def test_thread_runs_the_next_task_that_its_last_one_gives(pool: Any) -> None:
    """No other thread has part in it."""
    tasks = Tasks(pool)

    def first_ended() -> None:
        assert pool.can_go_on
        pool.go_on(partial(tasks.give, 2, tasks.all_ran.set))

    tasks.give(1, first_ended)

    assert tasks.all_ran.wait(DEADLINE_S)
    assert tasks.numbers == [1, 2]
    assert len({thread for _number, thread in tasks.ran}) == 1


def test_thread_goes_on_also_when_the_next_task_could_not_be_given(pool: Any) -> None:
    """The pool would have a thread less."""
    tasks = Tasks(pool)

    def broken() -> None:
        raise ConnectionError

    tasks.give(1, partial(pool.go_on, broken))
    tasks.give(2, tasks.all_ran.set)

    assert tasks.all_ran.wait(DEADLINE_S)
    assert tasks.numbers == [1, 2]


def test_thread_does_not_go_on_while_a_task_waits_for_it(pool: Any) -> None:
    """A task whose ETA has come would never be run by a thread that always has a next one."""
    tasks = Tasks(pool)
    given = threading.Event()
    found: list[bool] = []

    def first_ended() -> None:
        given.wait(DEADLINE_S)
        found.append(pool.can_go_on)

    tasks.give(1, first_ended)
    tasks.give(2, tasks.all_ran.set)
    given.set()

    assert tasks.all_ran.wait(DEADLINE_S)
    assert found == [False]


def test_other_threads_cannot_go_on(pool: Any) -> None:
    """A message that they took would never be run."""
    assert not pool.can_go_on


def test_error_of_a_task_is_told_as_by_an_executor(pool: Any) -> None:
    """The request fails the task for it."""

    def target() -> None:
        raise LookupError

    given = pool.on_apply(target, (), {}, callback=lambda _returned: None)

    with pytest.raises(LookupError):
        given.get(DEADLINE_S)
