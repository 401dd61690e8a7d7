"""The addresses of the page's buttons, and of what they work on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tornado.web import url

from proj.dashboard.web.actions.confirmations import Confirmations
from proj.dashboard.web.actions.halt_actions import HaltActions
from proj.dashboard.web.actions.handler import ActionHandler
from proj.dashboard.web.actions.letter_actions import LetterActions
from proj.dashboard.web.actions.page_handlers import (
    CancelHaltHandler,
    CancelLettersHandler,
    HaltsHandler,
    LettersHandler,
)
from proj.dashboard.web.actions.queue_actions import QueueActions
from proj.dashboard.web.actions.retry_actions import RetryActions, Sources
from proj.journal.actions import DRAIN, EXPORT, HALT, PAUSE, PURGE, REQUEUE, RESUME, RETRY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from celery import Celery
    from tornado.routing import URLSpec


@dataclass(frozen=True, kw_only=True)
class Hands:
    """All that can be done from the page."""

    queues: QueueActions
    letters: LetterActions
    workers: HaltActions
    queue_workers: HaltActions
    tasks: RetryActions

    @classmethod
    def of(
        cls,
        app: Celery,
        *,
        broker_api: str | None,
        journal: Path | None,
        attempts: Callable[[str], Mapping[str, Any]],
        flowers: Callable[[str], Mapping[str, Any] | None],
    ) -> Hands:
        """Those of an app's broker.

        Args:
            app: the app.
            broker_api: the address of the broker's management API.
            journal: the one that this process writes, if any.
            attempts: gives the JSON of a task's attempts.
            flowers: gives what Flower keeps of a task.
        """
        letters = LetterActions(app, broker_api=broker_api, journal=journal)
        return cls(
            queues=QueueActions(app, broker_api=broker_api, journal=journal),
            letters=letters,
            workers=HaltActions(app, of="worker", broker_api=broker_api, journal=journal),
            queue_workers=HaltActions(app, of="queue", broker_api=broker_api, journal=journal),
            tasks=RetryActions(app, Sources(attempts, flowers, letters.has), journal=journal),
        )

    def stop(self) -> None:
        """End what goes on in the background."""
        for one in (self.letters, self.workers, self.queue_workers):
            one.stop()


def action_routes(hands: Hands, *, read_only: bool, has_password: bool) -> list[URLSpec]:
    """The addresses, without a prefix. Where nothing may be done, letters are shown all the same."""
    may = {"confirmations": Confirmations(), "read_only": read_only, "has_password": has_password}
    letters, halts = {"letters": hands.letters}, {"halts": (hands.workers, hands.queue_workers)}
    return [
        url(rf"/dispatch/queues/({PAUSE}|{RESUME})", ActionHandler, {**may, "actions": hands.queues}),
        url(rf"/dispatch/queues/({HALT}|{DRAIN})", ActionHandler, {**may, "actions": hands.queue_workers}),
        url(r"/dispatch/queues/cancel", CancelHaltHandler, {**may, "actions": hands.queue_workers}),
        url(rf"/dispatch/workers/({HALT})", ActionHandler, {**may, "actions": hands.workers}),
        url(rf"/dispatch/tasks/({RETRY})", ActionHandler, {**may, "actions": hands.tasks}),
        url(r"/dispatch/halts", HaltsHandler, halts, name="dispatch_halts"),
        url(r"/dispatch/letters", LettersHandler, letters, name="dispatch_letters"),
        url(r"/dispatch/letters/(job|arguments)", LettersHandler, letters),
        url(rf"/dispatch/letters/({REQUEUE}|{EXPORT}|{PURGE})", ActionHandler, {**may, "actions": hands.letters}),
        url(r"/dispatch/letters/cancel", CancelLettersHandler, {**may, "actions": hands.letters}),
    ]
