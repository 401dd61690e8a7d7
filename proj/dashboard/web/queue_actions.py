"""Queue actions: the handlers of the buttons that pause and resume a queue, with the services of the commands.

A button is pressed twice. The first request asks, and gets a question with the count and a token. The second one has
that token, and does it.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated, url

from proj.broker.control_bus import ControlBus
from proj.broker.queue_depths import QueueDepths, depths_by_declare
from proj.dashboard.web.confirmations import Confirmations
from proj.dashboard.web.flower_types import BaseHandler
from proj.delivery.pausing.pause_workers import set_paused
from proj.delivery.shutdown.halt_workers import RunningWorkers
from proj.errors import NoBroker, ProjError
from proj.journal.actions import PAUSE, RESUME, recorded
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from celery import Celery
    from tornado.routing import URLSpec

#: Seconds that the workers may take to follow.
FOLLOW_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person is asked before an action."""

    question: str
    #: The workers that it concerns.
    count: int


class QueueActions:
    """Pauses and resumes queues of an app's broker; each call may take seconds."""

    def __init__(self, app: Celery, *, broker_api: str | None, journal: Path | None) -> None:
        """Take the app, and the journal that this process writes, if any."""
        self._app = app
        self._depths = QueueDepths(app, broker_api=broker_api)
        self._journal = journal

    def ask(self, verb: str, queue: str) -> Asked | None:
        """The question; None when there is no such queue.

        Raises:
            NoBroker: no broker answers.
        """
        with ControlBus(self._app) as bus:
            found = depths_by_declare(bus.connection, [queue])
            if not found:
                return None
            nodes = RunningWorkers(self._app, bus, self._depths).select(worker=None, queue=queue)
        ready = f"{counted(found[0].ready, 'message')} wait{'s' * (found[0].ready == 1)} in it"
        if verb == PAUSE:
            text = (
                f"Pause {queue}? {counted(len(nodes), 'worker')} will start no task of it until it is resumed; {ready}."
            )
        else:
            text = f"Resume {queue}? Workers will start its tasks again; {ready}."
        return Asked(question=text, count=len(nodes))

    def do(self, verb: str, queue: str, *, who: str) -> dict[str, Any]:
        """Do it, and record who did; what became of each worker.

        Raises:
            ProjError: it cannot be done.
        """
        with (
            recorded(verb, queue, journal=self._journal, who=who, is_writer=True) as count,
            ControlBus(self._app) as bus,
        ):
            outcome = set_paused(self._app, bus, self._depths, queue, paused=verb == PAUSE, timeout_s=FOLLOW_S)
            count.value = max(1, sum(each.followed for each in outcome.workers))
        return {**asdict(outcome), "done": outcome.is_done}


class QueueActionHandler(BaseHandler):
    """Answers POST with a question and a token, and POST with that token with what was done."""

    SUPPORTED_METHODS = ("POST",)

    def initialize(
        self, actions: QueueActions, confirmations: Confirmations, *, read_only: bool, has_password: bool
    ) -> None:
        """Do `actions`, unless the dashboard is read-only, or has no password."""
        self._actions = actions
        self._confirmations = confirmations
        self._read_only = read_only
        self._has_password = has_password

    def prepare(self) -> None:
        """Refuse what Flower refuses: everyone without a password, and everything when it is read-only."""
        if not self._has_password:
            raise HTTPError(HTTPStatus.UNAUTHORIZED)
        if self._read_only:
            raise HTTPError(HTTPStatus.FORBIDDEN, "The dashboard is read-only.")

    @authenticated
    async def post(self, verb: str) -> None:
        """Ask, or do it."""
        queue = self.get_body_argument("queue", "", strip=False)
        token = self.get_body_argument("token", "")
        if not queue:
            raise HTTPError(HTTPStatus.BAD_REQUEST, "Missing argument queue")
        who = self._who()
        if not token:
            asked = await self._away(lambda: self._actions.ask(verb, queue))
            if asked is None:
                raise HTTPError(HTTPStatus.NOT_FOUND, "There is no such queue.")
            self._answer({**asdict(asked), "token": self._confirmations.make(who, verb, queue, count=asked.count)})
        elif self._confirmations.accepts(token, who, verb, queue):
            self._answer(await self._away(lambda: self._actions.do(verb, queue, who=who)))
        else:
            raise HTTPError(HTTPStatus.CONFLICT, "The confirmation is of another question, or too old. Ask again.")

    def write_error(self, status_code: int, **details: Any) -> None:  # noqa: ANN401 as Tornado's
        """Say it in plain text, because a script asks."""
        error = details.get("exc_info", (None, None))[1]
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        if status_code == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        message = error.get_message() if isinstance(error, HTTPError) else None
        self.finish(f"{message or self._reason}\n")

    async def _away(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 what the call returns
        """What the call returns, made in another thread."""
        try:
            return await IOLoop.current().run_in_executor(None, call)
        except NoBroker as error:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, "%s", error.message) from error
        except ProjError as error:
            raise HTTPError(HTTPStatus.CONFLICT, "%s", error.message) from error

    def _answer(self, document: dict[str, Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(document)

    def _who(self) -> str:
        """The user of the password or of the cookie, as `user@dashboard`."""
        user = self.current_user
        if not isinstance(user, str):
            _, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
            user = b64decode(credentials).decode().partition(":")[0] if credentials else "?"
        return f"{user}@dashboard"


def action_routes(actions: QueueActions, *, read_only: bool, has_password: bool) -> list[URLSpec]:
    """The addresses of the buttons, without a prefix."""
    what = {
        "actions": actions,
        "confirmations": Confirmations(),
        "read_only": read_only,
        "has_password": has_password,
    }
    return [url(rf"/dispatch/queues/({PAUSE}|{RESUME})", QueueActionHandler, what, name="dispatch_queue_action")]
