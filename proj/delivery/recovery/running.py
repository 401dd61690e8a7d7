"""Whether a worker's consumer runs, or is starting or stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

from celery import bootsteps

if TYPE_CHECKING:
    from celery.bootsteps import Blueprint


class _Bootsteps(Protocol):
    """What celery-types leaves out of `celery.bootsteps`."""

    RUN: int


#: The state of a blueprint whose steps have started, and do not stop.
RUN = cast("_Bootsteps", bootsteps).RUN


def is_running(blueprint: Blueprint) -> bool:
    """Whether that of a consumer is neither starting nor stopping."""
    return bool(blueprint.state == RUN)
