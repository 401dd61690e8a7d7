"""The handlers of what the page asks for beside its data: the dead letters, and how far what was begun is."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError, authenticated

from proj.dashboard.web.actions.handler import ActionHandler, away
from proj.dashboard.web.handlers import ReadOnlyHandler

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proj.dashboard.web.actions.halt_actions import HaltActions
    from proj.dashboard.web.actions.letter_actions import LetterActions


class LettersHandler(ReadOnlyHandler):
    """Answers GET with the last look and the job, and with a new look if the address says `again`."""

    def initialize(self, letters: LetterActions) -> None:
        """Look at these."""
        self._letters = letters

    def prepare(self) -> None:
        """Refuse another page: to look makes the broker deliver the letters."""
        if self.request.headers.get("Sec-Fetch-Site") in {"cross-site", "same-site"}:
            raise HTTPError(HTTPStatus.FORBIDDEN, "Another page asks.")

    @authenticated
    async def get(self, what: str | None = None) -> None:
        """Write it; of `job` the job alone, and of `arguments` those of one letter."""
        await self._write(what)

    @authenticated
    async def head(self, *words: str) -> None:
        """Answer as to GET; Tornado leaves the body out."""
        await self._write(*words)

    async def _write(self, what: str | None = None) -> None:
        self.set_header("Cache-Control", "no-store")
        if what == "job":
            self.write(self._letters.job_document())
        elif what == "arguments":
            self.write(self._arguments())
        else:
            again = self.get_query_argument("again", "") != ""
            self.write(await away(lambda: self._letters.document(again=again)))

    def _arguments(self) -> dict[str, Any]:
        look, mark = (self.get_query_argument(name, "", strip=False) for name in ("look", "letter"))
        found = self._letters.arguments(look, mark)
        if found is None:
            raise HTTPError(HTTPStatus.NOT_FOUND, "There is no such letter.")
        return {"arguments": found}


class CancelLettersHandler(ActionHandler):
    """Cancels the work on dead letters at once: what cannot do harm needs no question."""

    @authenticated
    async def post(self, *_: str) -> None:
        """Cancel it."""
        letters: Any = self._actions
        self._answer(letters.cancel(self._who()))


class CancelHaltHandler(ActionHandler):
    """Cancels a halt that waits for an empty queue."""

    @authenticated
    async def post(self, *_: str) -> None:
        """Cancel it."""
        halts: Any = self._actions
        halts.cancel(self.get_body_argument("key", ""), self._who())
        self._answer({"halts": halts.documents()})


class HaltsHandler(ReadOnlyHandler):
    """Answers GET with how far each halt is."""

    def initialize(self, halts: Sequence[HaltActions]) -> None:
        """Tell of these."""
        self._halts = halts

    @authenticated
    def get(self) -> None:
        """Write it."""
        self.set_header("Cache-Control", "no-store")
        self.write({"halts": [one for halts in self._halts for one in halts.documents()]})
