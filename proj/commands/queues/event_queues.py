"""Event queues of journals that no recorder takes events from: they stay for a day, and fill."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.clock import format_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proj.broker.queue_depths import Depth
    from proj.broker.queue_rates import Rates


def noting(
    left: list[Depth], looks: Iterable[list[tuple[Depth, Rates | None]]]
) -> Iterator[list[tuple[Depth, Rates | None]]]:
    """The looks; `left` has the event queues of the latest one that no recorder takes events from."""
    for look in looks:
        left[:] = [depth for depth, _rates in look if depth.journal is not None and not depth.consumers]
        yield look


def note(depth: Depth, *, now: float) -> str:
    """A sentence on such a queue, and the command that deletes it."""
    made = "" if depth.made is None else f", made {format_duration(max(0.0, now - depth.made))} ago,"
    command = f"celery -A yourapp journal record -o {shlex.quote(depth.journal or 'FILE')} --forget"
    return naming_the_app(
        f"No recorder takes events from the queue {depth.name}{made} of the journal {depth.journal}; the broker "
        f"deletes it after a day without one. Delete it now with: {command}"
    )
