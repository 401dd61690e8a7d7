"""The addresses of the page's buttons, and of the dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.web import url

from proj.dashboard.web.actions.confirmations import Confirmations
from proj.dashboard.web.actions.handler import ActionHandler
from proj.dashboard.web.actions.letter_handlers import CancelHandler, LettersHandler
from proj.journal.actions import EXPORT, PAUSE, PURGE, REQUEUE, RESUME

if TYPE_CHECKING:
    from tornado.routing import URLSpec

    from proj.dashboard.web.actions.letter_actions import LetterActions
    from proj.dashboard.web.actions.queue_actions import QueueActions


def action_routes(
    *, queues: QueueActions, letters: LetterActions, read_only: bool, has_password: bool
) -> list[URLSpec]:
    """The addresses, without a prefix. Where nothing may be done, letters are shown all the same."""
    may = {"confirmations": Confirmations(), "read_only": read_only, "has_password": has_password}
    return [
        url(rf"/dispatch/queues/({PAUSE}|{RESUME})", ActionHandler, {**may, "actions": queues}),
        url(r"/dispatch/letters", LettersHandler, {"letters": letters}, name="dispatch_letters"),
        url(r"/dispatch/letters/(job|arguments)", LettersHandler, {"letters": letters}),
        url(rf"/dispatch/letters/({REQUEUE}|{EXPORT}|{PURGE})", ActionHandler, {**may, "actions": letters}),
        url(r"/dispatch/letters/cancel", CancelHandler, {**may, "actions": letters}),
    ]
