"""The handler of the page's buttons: who may press them, the question, and its answer.

A button is pressed twice. The first request asks, and gets a question with the count and a token. The second one has
that token, and does it.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated

from proj.dashboard.web.error_message import message_of
from proj.dashboard.web.flower_types import BaseHandler
from proj.errors import NoBroker, ProjError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proj.dashboard.web.actions.confirmations import Confirmations

    T = TypeVar("T")

#: What a request says beside its verb: the values of each name.
Fields: TypeAlias = "Mapping[str, tuple[str, ...]]"

#: Bytes of a file that are sent at a time.
CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person is asked before an action."""

    question: str
    #: The workers, letters or tasks that it concerns.
    count: int
    #: The words of the button that says yes.
    yes: str = "Yes"


@dataclass(frozen=True, kw_only=True)
class Download:
    """A file for the browser, which is closed when it is sent."""

    file: IO[bytes]
    name: str
    size: int


class Actions(Protocol):
    """What can be done to one kind of things; each call may take seconds."""

    #: The names of fields that a request must have, and of those that it may have.
    needs: tuple[str, ...]
    may_have: tuple[str, ...]
    #: What is said when there is no such thing.
    absent: str

    def ask(self, verb: str, fields: Fields) -> Asked | None:
        """The question; None when there is no such thing.

        Raises:
            ProjError: it cannot be done.
        """

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any] | Download:
        """Do it to no more than the `count` of the question, and record who did; JSON with an `outcome`, or a file.

        Raises:
            ProjError: it cannot be done.
        """


class ActionHandler(BaseHandler):
    """Answers POST with a question and a token, and POST with that token with what was done."""

    SUPPORTED_METHODS = ("POST",)

    def initialize(
        self, actions: Actions, confirmations: Confirmations, *, read_only: bool, has_password: bool
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
        fields = self._fields()
        token = self.get_body_argument("token", "")
        who = self._who()
        subject = (
            who,
            type(self._actions).__name__,
            verb,
            *(word for name in fields for word in (name, *fields[name])),
        )
        if not token:
            asked = await away(lambda: self._actions.ask(verb, fields))
            if asked is None:
                raise HTTPError(HTTPStatus.NOT_FOUND, "%s", self._actions.absent)
            self._answer({**asdict(asked), "token": self._confirmations.make(*subject, count=asked.count)})
            return
        count = self._confirmations.confirmed(token, *subject)
        if count is None:
            raise HTTPError(HTTPStatus.CONFLICT, "The confirmation is of another question, or too old. Ask again.")
        done = await away(partial(self._actions.do, verb, fields, who=who, count=count))
        if isinstance(done, Download):
            await self._send(done)
        else:
            self._answer(done)

    def write_error(self, status_code: int, **details: object) -> None:
        """Say it in plain text, because a script asks."""
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        if status_code == HTTPStatus.UNAUTHORIZED:
            self.set_header("WWW-Authenticate", 'Basic realm="flower"')
        self.finish(f"{message_of(details) or self._reason}\n")

    def _fields(self) -> Fields:
        names = (*self._actions.needs, *self._actions.may_have)
        fields = {name: tuple(self.get_body_arguments(name, strip=False)) for name in names}
        for name in self._actions.needs:
            if len(fields[name]) != 1 or not fields[name][0]:
                raise HTTPError(HTTPStatus.BAD_REQUEST, f"Missing argument {name}")
        return fields

    def _answer(self, document: dict[str, Any]) -> None:
        self.set_header("Cache-Control", "no-store")
        self.write(document)

    async def _send(self, download: Download) -> None:
        with download.file as file:
            self.set_header("Cache-Control", "no-store")
            self.set_header("Content-Type", "application/jsonl")
            self.set_header("Content-Disposition", f'attachment; filename="{download.name}"')
            self.set_header("Content-Length", str(download.size))
            while chunk := file.read(CHUNK):
                self.write(chunk)
                await self.flush()

    def _who(self) -> str:
        """The user of the password or of the cookie, as `user@dashboard`."""
        user = self.current_user
        if not isinstance(user, str):
            _, _, credentials = self.request.headers.get("Authorization", "").partition(" ")
            user = b64decode(credentials).decode().partition(":")[0] if credentials else "?"
        return f"{user}@dashboard"


async def away(call: Callable[[], T]) -> T:
    """What the call returns, made in another thread; an error of ours becomes one of HTTP."""
    try:
        return await IOLoop.current().run_in_executor(None, call)
    except NoBroker as error:
        raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, "%s", error.message) from error
    except ProjError as error:
        raise HTTPError(HTTPStatus.CONFLICT, "%s", error.message) from error
