"""Refuses the name of a queue that does not exist, where it is probably misspelt."""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import SequenceMatcher, get_close_matches
from typing import TYPE_CHECKING

from proj.broker.connection import connected
from proj.broker.queue_depths import depths_by_declare
from proj.delivery.dead_letters.app_queues import queue_types
from proj.errors import ProjError, UnknownQueue

if TYPE_CHECKING:
    from collections.abc import Collection

    from celery import Celery

    from proj.broker.queue_depths import QueueDepths

#: How alike two names are of which one is the other misspelt, as `SequenceMatcher` measures it: two letters in the
#: wrong order in a name of ten give 0.9, `queue` and `task_queue` 0.67.
ALIKE = 0.85
_DIGITS = re.compile(r"\d+")


def refuse_unknown_queues(app: Celery, names: Collection[str], depths: QueueDepths) -> None:
    """Check that each queue exists on the app's broker, or is named by the app's settings.

    Raises:
        UnknownQueue: one is neither; the error has the existing name that is most like it.
        NoBroker: no broker answers.
    """
    ours = queue_types(app)
    unknown = [name for name in names if name not in ours]
    if not unknown:
        return
    with connected(app.connection_for_read()) as connection:
        there = {depth.name for depth in depths_by_declare(connection, unknown)}
    for name in unknown:
        if name not in there:
            known = {*ours}
            with suppress(ProjError):
                known |= {depth.name for depth in depths.read() if not depth.is_plumbing}
            raise UnknownQueue(name, next(iter(get_close_matches(name, known, n=1)), None))


def refuse_misspelt_queue(app: Celery, name: str, depths: QueueDepths) -> None:
    """Check that a queue which is to be made has not nearly the name of an existing one.

    Raises:
        UnknownQueue: it has.
        NoBroker: no broker answers.
    """
    try:
        refuse_unknown_queues(app, [name], depths)
    except UnknownQueue as error:
        if error.nearest is not None and is_misspelt(name, error.nearest):
            raise


def is_misspelt(name: str, existing: str) -> bool:
    """Whether a name is so much like an existing one that it is probably meant; `queue2` is not `queue1`."""
    name, existing = (_DIGITS.sub("0", text.casefold()) for text in (name, existing))
    return name != existing and SequenceMatcher(None, name, existing).ratio() >= ALIKE
