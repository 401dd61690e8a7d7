"""Receivers of Celery's signals that last as long as the app that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from celery.utils.dispatch import Signal

#: The attribute of an app that keeps its receivers.
_KEPT = "proj_receivers"


def connect(app: Celery, signal: Signal, receiver: Callable[..., None], *, uid: str) -> None:
    """Call `receiver` at the signal as long as the app exists; `uid` tells receivers of one app apart.

    Celery's signals belong to the process. One that held the receiver itself would keep the app for ever.
    """
    kept: dict[tuple[Any, str], Callable[..., None]] = app.__dict__.setdefault(_KEPT, {})
    if (signal, uid) not in kept:
        kept[signal, uid] = receiver
        signal.connect(receiver)
