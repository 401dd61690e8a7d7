"""Receivers that end with their app."""

from __future__ import annotations

import gc
import weakref

from celery import Celery
from celery.utils.dispatch import Signal

from proj.delivery.install import install
from proj.delivery.receivers import connect


def test_receiver_is_called_once_as_long_as_its_app_exists() -> None:
    """The signal belongs to the process, and holds nothing of an app that is gone."""
    signal, called = Signal(), []

    def connected() -> weakref.ref[Celery]:
        app = Celery("theirs", set_as_current=False)

        def receive(**_: object) -> None:
            called.append(app.main)

        connect(app, signal, receive, uid="one")
        connect(app, signal, receive, uid="one")
        signal.send(sender=None)
        return weakref.ref(app)

    gone = connected()
    assert called == ["theirs"]

    gc.collect()
    signal.send(sender=None)
    assert gone() is None
    assert called == ["theirs"]


def test_app_that_was_closed_is_gone() -> None:
    """A test suite, or a service with an app for each tenant, makes many."""

    def used() -> weakref.ref[Celery]:
        with Celery("theirs", broker="memory://", set_as_current=False) as app:
            install(app)
            app.send_task("note")
            return weakref.ref(app)

    gone = [used() for _ in range(3)]
    gc.collect()

    assert [app() for app in gone] == [None] * 3
