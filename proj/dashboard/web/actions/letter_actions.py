"""Letter actions: looks at the dead letters, and requeues, exports or removes those that were shown."""

from __future__ import annotations

import secrets
import tempfile
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

from proj.broker.queue_depths import QueueDepths
from proj.dashboard.web.actions.handler import Asked, Download
from proj.dashboard.web.actions.job import Job
from proj.dashboard.web.actions.letter_groups import YES, Look, grouped, question
from proj.dashboard.web.actions.letter_progress import LetterProgress
from proj.delivery.dead_letters.choice import Choice, Chosen
from proj.delivery.dead_letters.export import to_line
from proj.delivery.dead_letters.queue import DeadLetterQueue
from proj.delivery.dead_letters.requeue import Requeue
from proj.errors import NoDeadLetters, ProjError
from proj.journal.actions import EXPORT, PURGE, REQUEUE, recorded
from proj.plural import counted

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from proj.dashboard.web.actions.handler import Fields

#: Letters that a look reads, the oldest.
MOST_LETTERS = 20_000
#: Looks that are remembered: of each, what was shown can still be chosen.
MOST_LOOKS = 4
#: Seconds for which a look is not made again.
FRESH_S = 1.0
#: Seconds that a job may take to end with the dashboard.
STOP_S = 5.0


class LetterActions:
    """The dead letters of an app's broker; any thread may call."""

    needs = ("look",)
    may_have = ("group", "letter")
    absent = "There is no such look at the dead letters any more. Look again."

    def __init__(self, app: Celery, *, broker_api: str | None, journal: Path | None) -> None:
        """Take the app, and the journal that this process writes, if any."""
        self._app = app
        self._management = QueueDepths(app, broker_api=broker_api).management
        self._journal = journal
        self._looks: dict[str, Look] = {}
        self._looking = threading.Lock()
        self._starting = threading.Lock()
        self._job: Job[LetterProgress] | None = None

    def document(self, *, again: bool) -> dict[str, Any]:
        """The last look, or a new one if it is asked for or there is none, and how far the job is.

        While a job is at work there is no new look: the letters are read by one at a time.
        """
        trouble = None
        with self._looking:
            last = next(reversed(self._looks.values()), None)
            if not self._is_busy() and (last is None or (again and not self._is_fresh(last))):
                try:
                    last = self._look()
                except ProjError as error:
                    last, trouble = None, error.message
        return {
            "format": "proj-letters",
            "version": 1,
            "look": last.document() if last is not None else None,
            "trouble": trouble,
            **self.job_document(),
        }

    def job_document(self) -> dict[str, Any]:
        """How far the last job is."""
        return {"job": self._job.progress.document() if self._job is not None else None}

    def arguments(self, look: str, mark: str) -> str | None:
        """The arguments of a letter's task; None when the letter is not listed in that look."""
        found = self._looks.get(look)
        return found.arguments(mark) if found is not None else None

    def has(self, task_id: str) -> bool | None:
        """Whether a task is a dead letter now; None when they cannot be looked at."""
        with self._looking:
            if self._is_busy():
                return None
            try:
                look = self._look()
            except NoDeadLetters:
                return False
            except ProjError:
                return None
        if any(seen.id == task_id for group in look.groups for seen in group.seen):
            return True
        return False if look.read >= look.total else None

    def ask(self, verb: str, fields: Fields) -> Asked | None:
        """The question; None when the look is not known any more.

        Raises:
            ProjError: the letters are not of that look.
        """
        look = self._looks.get(fields["look"][0])
        if look is None:
            return None
        chosen, _ = look.chosen(fields)
        letters = counted(len(chosen), "letter")
        return Asked(question=question(verb, chosen, look.queue), count=len(chosen), yes=f"{YES[verb]}: {letters}")

    def do(self, verb: str, fields: Fields, *, who: str, count: int) -> dict[str, Any] | Download:
        """Export the letters, or begin to requeue or remove them in the background.

        Raises:
            ProjError: other letters are being worked on, or these are not known any more.
        """
        look = self._looks.get(fields["look"][0])
        if look is None:
            raise ProjError(self.absent)
        chosen, what = look.chosen(fields)
        choice = Choice(marks=frozenset(seen.mark for seen in chosen), limit=count)
        if verb == EXPORT:
            return self._export(choice, what, who=who)
        progress = LetterProgress(verb=verb, queue=look.queue, who=who, total=len(chosen))
        with self._starting:
            self._refuse_while_busy()
            work = self._requeue if verb == REQUEUE else self._purge
            self._job = Job(progress, partial(work, choice, what))
            self._job.start()
        return {"outcome": progress.said(), **self.job_document()}

    def cancel(self, who: str) -> dict[str, Any]:
        """Let the job end between two letters."""
        if self._job is not None:
            self._job.cancel(who)
        return self.job_document()

    def stop(self) -> None:
        """Let a job end with the dashboard."""
        if self._job is not None:
            self._job.cancel("The end of the dashboard")
            self._job.wait(STOP_S)

    def _is_fresh(self, look: Look) -> bool:
        ended = self._job.progress.ended if self._job is not None else None
        return time.time() - look.time < FRESH_S and (ended is None or ended < look.time)

    def _is_busy(self) -> bool:
        return self._job is not None and self._job.is_alive

    def _refuse_while_busy(self) -> None:
        if self._job is not None and self._is_busy():
            raise ProjError(
                f"{self._job.progress.who} works on the dead letters now. Wait until that has ended, or cancel it."
            )

    def _letters(self, at_most: int | None = None) -> DeadLetterQueue:
        return DeadLetterQueue(self._app, management=self._management, at_most=at_most)

    def _look(self) -> Look:
        with self._letters(MOST_LETTERS) as letters:
            groups = grouped(unacked.letter for unacked in letters)
            look = Look(
                key=secrets.token_hex(8),
                time=time.time(),
                queue=letters.name,
                total=letters.total,
                read=letters.count,
                groups=groups,
                warning=letters.warning,
            )
        self._looks[look.key] = look
        while len(self._looks) > MOST_LOOKS:
            del self._looks[next(iter(self._looks))]
        return look

    def _export(self, choice: Choice, what: str, *, who: str) -> Download:
        self._refuse_while_busy()
        with recorded(EXPORT, what, journal=self._journal, who=who, is_writer=True) as count:
            file = tempfile.TemporaryFile()  # noqa: SIM115 it is closed when it is sent
            try:
                with self._letters() as letters:
                    for unacked in Chosen(letters, choice):
                        file.write(to_line(unacked).encode() + b"\n")
                        count.value += 1
                    name = letters.name
                size = file.tell()
                file.seek(0)
            except BaseException:
                file.close()
                raise
        safe = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)
        return Download(file=file, name=f"{safe}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.jsonl", size=size)

    def _requeue(self, choice: Choice, what: str, job: Job[LetterProgress]) -> None:
        progress = job.progress
        letters = self._letters()
        with (
            recorded(REQUEUE, what, journal=self._journal, who=progress.who, is_writer=True) as count,
            Requeue(self._app, letters) as requeue,
            letters,
            closing(Chosen(letters, choice).requeue(requeue)) as requeued,
        ):
            progress.warning = requeue.warning
            for each in requeued:
                if each.error is None:
                    count.value = progress.done = progress.done + 1
                else:
                    progress.fail(each.error)
                if each.twice:
                    progress.double(each.letter.id)
                if job.is_cancelled:
                    break

    def _purge(self, choice: Choice, what: str, job: Job[LetterProgress]) -> None:
        progress = job.progress
        with (
            recorded(PURGE, what, journal=self._journal, who=progress.who, is_writer=True) as count,
            self._letters() as letters,
        ):
            for unacked in Chosen(letters, choice):
                letters.discard(unacked.tag)
                count.value = progress.done = progress.done + 1
                if job.is_cancelled:
                    break
