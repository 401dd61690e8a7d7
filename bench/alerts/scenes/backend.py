"""Scenes of the result backend: away, and slow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alerts.scenes.workers import EVERY_S
from proj.lab.drills.system.backend import switch
from proj.lab.drills.system.evidence import FILE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alerts.system import System

#: The backend that is away or slow while a file says so.
BACKEND = {"result_backend": "proj.lab.drills.system.backend:Backend"}


def troubled(queue: str, trouble: str) -> Callable[..., Iterator[None]]:
    """The result backend of a worker is in trouble from now on: away or slow."""

    def play(system: System) -> Iterator[None]:
        beside = system.guard.folder / f"{queue}.evidence"
        system.worker(queue, settings=BACKEND, **{FILE_VARIABLE: str(beside)})
        system.publish(queue, "work", 0.1, every_s=EVERY_S)
        yield
        switch(beside, trouble).touch()

    return play
