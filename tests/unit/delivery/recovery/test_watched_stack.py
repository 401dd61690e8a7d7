"""What the watchdog sees of the thread or the greenlet that it watches."""

from __future__ import annotations

import inspect
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import click
from celery.bin.worker import worker as worker_command

from proj.delivery.recovery import watched_stack
from proj.delivery.recovery.watchdog import CallTimer, is_command
from proj.delivery.recovery.watched_stack import StackOfGreenlet, StackOfThread, TransportCall, transport_call

if TYPE_CHECKING:
    import pytest


def test_call_that_has_read_more_bytes_counts_as_another() -> None:
    """A large message over a slow line makes progress."""
    timer = CallTimer()
    frame = inspect.currentframe()

    assert frame is not None
    assert transport_call(frame) is None
    assert timer.seconds(TransportCall(frame, 1, 10, None), 0.0) == 0.0
    assert timer.seconds(TransportCall(frame, 1, 10, None), 5.0) == 5.0
    assert timer.seconds(TransportCall(frame, 1, 20, None), 6.0) == 0.0
    assert timer.seconds(None, 7.0) == 0.0


def test_stack_of_a_thread_that_has_ended_is_not_that_of_the_next_one_with_its_id() -> None:
    """The system gives the id away again, and the socket of that thread is not the worker's."""
    ended: Any = SimpleNamespace(ident=threading.get_ident(), is_alive=lambda: False)
    running: Any = SimpleNamespace(ident=threading.get_ident(), is_alive=lambda: True)

    assert StackOfThread(ended).top() is None
    assert StackOfThread(ended).has_ended
    assert StackOfThread(running).top() is not None


def test_stack_of_a_greenlet_is_that_at_which_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """With gevent and eventlet a thread is a greenlet, and its id is none of a thread."""
    frame = inspect.currentframe()
    greenlet = SimpleNamespace(dead=False, gr_frame=frame)
    monkeypatch.setattr(watched_stack, "detect_environment", lambda: "gevent")
    monkeypatch.setattr(watched_stack, "import_module", lambda _: SimpleNamespace(getcurrent=lambda: greenlet))

    stack = watched_stack.stack_of_caller()

    assert isinstance(stack, StackOfGreenlet)
    assert stack.top() is frame
    greenlet.dead = True
    assert stack.has_ended


def test_process_is_the_workers_in_the_thread_that_runs_the_command_alone() -> None:
    """Another thread of that process, and a command that starts a worker beside its own work, are other programs."""
    in_thread = []

    with click.Context(worker_command):
        assert is_command()
        thread = threading.Thread(target=lambda: in_thread.append(is_command()))
        thread.start()
        thread.join()
    with click.Context(click.Command("serve")):
        assert not is_command()
    assert not is_command()
    assert in_thread == [False]
