"""Handlers: tasks that are searched for, the attempts of a task, and Flower's page of one that it has forgotten."""

from __future__ import annotations

from abc import abstractmethod
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from tornado.escape import json_encode
from tornado.ioloop import IOLoop
from tornado.web import HTTPError, authenticated, url

from proj.dashboard.web.error_message import message_of
from proj.dashboard.web.flower_types import TaskView
from proj.dashboard.web.handlers import ReadOnlyHandler
from proj.errors import ProjError
from proj.journal.event import LONGEST_NAME
from proj.journal.finding.query import InvalidQuery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tornado.routing import URLSpec

    from proj.dashboard.web.finding.finder import Finder

#: Characters of what is searched for.
LONGEST = 1000


class Flowers(NamedTuple):
    """What Flower remembers."""

    #: Whether it remembers the task of this id; only for the thread of its loop.
    remembers: Callable[[str], bool]
    #: The number of tasks that it keeps.
    kept: int


class FindingHandler(ReadOnlyHandler):
    """Answers with what a finder finds."""

    def initialize(self, finder: Finder, flowers: Flowers) -> None:
        """Ask `finder`, and what Flower remembers."""
        self._finder = finder
        self._flowers = flowers

    @authenticated
    async def get(self, *words: str) -> None:
        """Write what was found as JSON."""
        await self._answer(*words)

    @authenticated
    async def head(self, *words: str) -> None:
        """Answer as to GET; Tornado leaves the body out."""
        await self._answer(*words)

    async def _answer(self, *words: str) -> None:
        document = await self.document(*words)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.write(json_encode(document))

    @abstractmethod
    async def document(self, *words: str) -> dict[str, Any]:
        """What is written; the words are of the address."""

    async def found(self, find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What `find` returns, called in another thread."""
        try:
            return await IOLoop.current().run_in_executor(None, find)
        except InvalidQuery as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, "%s", error.message) from error
        except ProjError as error:
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, "%s", error.message) from error

    def write_error(self, status_code: int, **details: object) -> None:
        """Say what is wrong in plain text, because a script asks."""
        if status_code not in {HTTPStatus.BAD_REQUEST, HTTPStatus.SERVICE_UNAVAILABLE}:
            super().write_error(status_code, **details)
            return
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(f"{message_of(details) or self._reason}\n")


class SearchHandler(FindingHandler):
    """Attempts by words, or by the worker that started them between two times."""

    async def document(self, *_: str) -> dict[str, Any]:
        """Search for `words`; or for `worker`, `since` and `until`."""
        worker = self.get_query_argument("worker", None)
        if worker is not None:
            since, until = self._seconds("since"), self._seconds("until")
            return await self.found(lambda: self._finder.started(worker[:LONGEST_NAME], since, until))
        text = self.get_query_argument("words", "")[:LONGEST]
        return await self.found(lambda: self._finder.search(text))

    def _seconds(self, name: str) -> float:
        try:
            return float(self.get_query_argument(name))
        except ValueError as error:
            raise HTTPError(HTTPStatus.BAD_REQUEST, "%s must be a number", name) from error


class TaskHandler(FindingHandler):
    """All attempts of a task."""

    async def document(self, *words: str) -> dict[str, Any]:
        """The attempts, and whether Flower has a page of the task."""
        task_id = words[0][:LONGEST_NAME]
        document = await self.found(lambda: self._finder.task(task_id))
        in_flower = self._flowers.remembers(task_id)
        forgotten = f"Flower does not remember this task: it keeps the latest {self._flowers.kept:,} (--max_tasks)."
        return {**document, "in_flower": in_flower, "flower_said": "" if in_flower else forgotten}


class FlowersTaskHandler(TaskView):
    """Flower's page of a task; of one that it has forgotten, ours."""

    def initialize(self, flowers: Flowers) -> None:
        """Look there whether Flower has it."""
        self._flowers = flowers

    @authenticated
    def get(self, task_id: str) -> Awaitable[None] | None:
        """Answer as Flower does, or lead to the task's attempts instead of 404."""
        if self._flowers.remembers(task_id):
            return super().get(task_id)
        self.redirect(f"{self.reverse_url('dispatch')}?task={quote(task_id, safe='')}")
        return None


def finding_routes(finder: Finder, flowers: Flowers) -> list[URLSpec]:
    """The addresses, without a prefix."""
    what = {"finder": finder, "flowers": flowers}
    return [
        url(r"/dispatch/tasks", SearchHandler, what, name="dispatch_tasks"),
        url(r"/dispatch/task/(.*)", TaskHandler, what, name="dispatch_task"),
        url(r"/task/(.+)", FlowersTaskHandler, {"flowers": flowers}),
    ]
