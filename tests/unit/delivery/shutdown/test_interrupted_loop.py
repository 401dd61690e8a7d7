"""What a worker's main thread may do in a signal handler that has interrupted it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from celery import Celery
from kombu.asynchronous import Hub

from proj.delivery.consuming.forwarder import Forwarder
from proj.delivery.dispatch.waiting import Waiting
from proj.delivery.install import install
from proj.delivery.results.sender import _Bell
from proj.delivery.shutdown.interrupted_loop import make_reentrant

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

TIMEOUT_S = 10.0


def is_done_under(lock: AbstractContextManager[Any], act: Callable[[], object]) -> bool:
    """Whether a thread that holds the lock can act; a thread, because one that cannot waits for ever."""

    def run() -> None:
        with lock:
            act()
        done.set()

    done = threading.Event()
    threading.Thread(target=run, daemon=True).start()
    return done.wait(TIMEOUT_S)


def a_loop() -> tuple[AbstractContextManager[Any], Callable[[], object]]:
    hub = Hub()
    make_reentrant(cast("Any", hub))
    return cast("Any", hub)._ready_lock, lambda: hub.call_soon(print)  # noqa: SLF001 as in `make_reentrant`


def a_bell() -> tuple[AbstractContextManager[Any], Callable[[], object]]:
    bell = _Bell()
    return bell._lock, bell.ring  # noqa: SLF001 what a signal handler finds taken


def a_forwarder() -> tuple[AbstractContextManager[Any], Callable[[], object]]:
    forwarder = Forwarder(cast("Any", None), cast("Any", None))
    return forwarder._lock, lambda: forwarder.send(cast("Any", None))  # noqa: SLF001 as above


def waiting_messages() -> tuple[AbstractContextManager[Any], Callable[[], object]]:
    waiting = Waiting()
    return waiting._lock, waiting.clear  # noqa: SLF001 as above


@pytest.mark.parametrize("make", [a_loop, a_bell, a_forwarder, waiting_messages])
def test_main_thread_may_go_on_in_a_signal_handler_while_it_holds_a_lock(
    make: Callable[[], tuple[AbstractContextManager[Any], Callable[[], object]]],
) -> None:
    """A cold shutdown runs in a signal handler, and reads the ends of tasks there."""
    assert is_done_under(*make())


def test_worker_of_an_app_has_such_a_loop() -> None:
    """The step comes with `install(app)`."""
    app = Celery("theirs", broker="memory://")
    install(app)
    assert "proj.delivery.shutdown.interrupted_loop:InterruptedLoop" in app.steps["worker"]
