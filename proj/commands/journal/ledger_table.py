"""The ledger of a journal: made with what the broker says now, and printed."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

from proj.broker.queue_depths import QueueDepths
from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.clock import utc
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.health.held_tasks import held_tasks
from proj.errors import EXIT_FAILED, NoBroker
from proj.journal.attempt import OPEN
from proj.journal.ledger import Holdings, Ledger, is_early, ledger
from proj.journal.reader import open_journal
from proj.metrics import hoards
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from celery import Celery
    from rich.console import Console

    from proj.journal.attempt import Attempt
    from proj.journal.records import Action, Gap, Worker
    from proj.metrics import Hoard

#: Ids in a list for people; JSON has all.
MOST_IDS = 20
#: Names of workers in a sentence.
MOST_NAMES = 5


def audit_journal(
    app: Celery,
    file: Path,
    *,
    run: str | None,
    settle_s: float | None,
    dead_letters: str | None,
    broker_api: str | None,
    as_json: bool,
) -> None:
    """Print the ledger of a journal, and exit with 1 when a task is missing or lost.

    Args:
        app: knows the broker, and its dead-letter queue.
        file: the journal.
        run: count only this run of the journal.
        settle_s: seconds after which to look again before a task is called missing; None asks no broker at all.
        dead_letters: another dead-letter queue than the app's.
        broker_api: the URL of the management API; None is the one on the broker's host.
        as_json: print JSON instead of a table.

    Raises:
        ProjError: there is no such journal.
        NoBroker: no broker answers.
    """
    audit = Audit(app, file, run=run, dead_letters=dead_letters or dead_letter_queue(app))
    queue_depths = None if settle_s is None else QueueDepths(app, broker_api=broker_api)
    try:
        result = audit.look(queue_depths)
        unfound = result.missing + len(result.lost)
        if unfound and settle_s:
            _say(f"{counted(unfound, 'task')} not found; looking again in {settle_s:g} s …")
            # Events and the broker's statistics may be late. A task that is really missing stays missing.
            time.sleep(settle_s)
            result = audit.look(queue_depths)
    except NoBroker as error:
        raise NoBroker(
            f"{error.message} With --offline, the audit asks no broker: what has not ended is open."
        ) from error
    suspects = [audit.latest[task_id] for task_id in result.unaccounted]
    lost = [audit.latest[task_id] for task_id in result.lost]
    if as_json:
        actions = [asdict(each) for each in audit.actions]
        echo_json({**_document(result, audit.hoards, suspects, lost), "actions": actions}, indent=2)
    else:
        _show(result, suspects, lost)
        for each in audit.actions[-MOST_IDS:]:
            echo(f"{utc(each.time, unknown='?')} {each}")
    doubts = (
        audit.warning,
        queue_depths.doubt if queue_depths else None,
        missing_events(audit.gaps),
        unsent_events(audit.silent) if result.missing or result.lost else None,
    )
    for warning in (*filter(None, doubts), *(hoard.sentence(now=False) for hoard in audit.hoards)):
        echo(naming_the_app(warning), err=True)
    if result.missing or result.lost:
        raise SystemExit(EXIT_FAILED)


class Audit:
    """Compares a journal with what workers and broker hold."""

    def __init__(self, app: Celery, file: Path, *, run: str | None, dead_letters: str) -> None:
        """Take the journal, or one `run` of it, and the name of the dead-letter queue."""
        self._app = app
        self._file = file
        self._run = run
        self._dead_letters = dead_letters
        #: Why something was not known at the last look, for people; None when everything was.
        self.warning: str | None = None
        #: The workers that had more messages than slots, by the last look.
        self.hoards: list[Hoard] = []
        #: The latest attempt of each task by its id, and the gaps of the journal, by the last look.
        self.latest: dict[str, Attempt] = {}
        self.gaps: list[Gap] = []
        #: What people did to queues and workers, by the last look.
        self.actions: list[Action] = []
        #: The workers that had tasks and do not answer now, by the last look.
        self.silent: list[str] = []

    def look(self, queue_depths: QueueDepths | None) -> Ledger:
        """The ledger now; without `queue_depths` no broker is asked."""
        if queue_depths is not None:
            _say(f"Reading {self._file} …")
        attempts, workers = self._read()
        if queue_depths is None:
            self.hoards = _hoards(attempts, workers, Holdings())
            return ledger(attempts)
        queues = {attempt.queue for attempt in attempts if attempt.queue} | set(self._app.amqp.queues)
        _say(f"{counted(len(attempts), 'attempt')}; asking workers and broker what they hold …")
        begun = {one.worker for one in self.latest.values() if one.worker and is_early(one, _early(workers))}
        held = held_tasks(self._app, queue_depths, queues=queues, dead_letters=self._dead_letters, workers=begun)
        self.warning = held.warning
        # The journal is read again, so that a task that ended while the workers were asked is not missing.
        attempts, workers = self._read()
        self.silent = sorted({one.worker for one in attempts if one.worker} - held.answered)
        self.hoards = _hoards(attempts, workers, held.holdings)
        return ledger(attempts, held.holdings, early=_early(workers))

    def _read(self) -> tuple[list[Attempt], list[Worker]]:
        with open_journal(self._file) as journal:
            attempts, workers, self.gaps = journal.attempts(self._run), journal.workers(), journal.gaps()
            self.actions = journal.actions()
        self.latest = {one.task_id: one for one in sorted(attempts, key=lambda one: one.number)}
        return attempts, workers


def _early(workers: Sequence[Worker]) -> dict[str, frozenset[str]]:
    """The tasks that each worker acknowledges before they run."""
    return {worker.name: frozenset(worker.early or ()) for worker in workers}


def _hoards(attempts: list[Attempt], workers: list[Worker], holdings: Holdings) -> list[Hoard]:
    """The workers that had more messages than slots. An attempt without an end counts if a worker says it has it."""
    has = holdings.held | holdings.running
    return hoards([one for one in attempts if one.state not in OPEN or one.task_id in has], workers)


def missing_events(gaps: Sequence[Gap]) -> str | None:
    """A sentence on the times for which events are known to be missing; None without such a time."""
    if not gaps:
        return None
    reasons = " ".join(dict.fromkeys(gap.reason for gap in gaps))
    began = utc(min(gap.began for gap in gaps), unknown="?")
    ended = utc(max(gap.ended for gap in gaps), unknown="?")
    return (
        f"Events are known to be missing between {began} and {ended}, so a task of that time may be "
        f"unknown here, or its end: {reasons}"
    )


def unsent_events(silent: Sequence[str]) -> str | None:
    """A sentence on what is not known of workers that may have been killed; None without such a worker."""
    if not silent:
        return None
    names = ", ".join(silent[:MOST_NAMES]) + (f" and {len(silent) - MOST_NAMES} more" if silent[MOST_NAMES:] else "")
    return (
        f"No answer from {names}. The events of a worker's last tenth of a second are lost when it is killed. A task "
        "that it ended then counts as missing or lost. Its result tells whether it was done."
    )


def _document(
    result: Ledger, hoarding: list[Hoard], suspects: Sequence[Attempt], lost: Sequence[Attempt]
) -> dict[str, object]:
    return {
        "tasks": len(result.fates),
        "counts": dict(result.counts),
        "missing": result.missing,
        "suspects": list(result.unaccounted),
        "suspect_tasks": [_task(one) for one in suspects],
        "lost_tasks": [_task(one) for one in lost],
        "duplicates": dict(result.duplicates),
        "hoards": [asdict(hoard) for hoard in hoarding],
        "fates": dict(result.fates),
    }


def _task(one: Attempt) -> dict[str, object]:
    return {"id": one.task_id, "name": one.name, "time": _latest_time(one), "queue": one.queue, "worker": one.worker}


def _show(result: Ledger, suspects: Sequence[Attempt], lost: Sequence[Attempt]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fate")
    table.add_column("tasks", justify="right")
    for fate, count in result.counts.items():
        table.add_row(fate, str(count))
    table.add_section()
    table.add_row("sent", str(len(result.fates)))
    out = console()
    out.print(table)
    if result.duplicates:
        out.print(cell(f"Done more than once: {_listed(tuple(result.duplicates))}"))
    if result.missing:
        which = "Missing" if result.missing == len(suspects) else f"Missing: at least {result.missing} of these"
        _print_tasks(out, f"{which}, by the latest that is known of each:", suspects)
    if lost:
        _print_tasks(
            out,
            "Lost with their workers, which had acknowledged them before they ran (task_acks_late, or acks_late of the "
            "task, was False):",
            lost,
        )


def _print_tasks(out: Console, heading: str, tasks: Sequence[Attempt]) -> None:
    out.print(cell(heading))
    out.print(Fitted(_tasks(tasks[:MOST_IDS])))
    if len(tasks) > MOST_IDS:
        out.print(cell(f"… and {len(tasks) - MOST_IDS} more; --json has them all."))


def _tasks(tasks: Sequence[Attempt]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("task", "name", "time", "last worker"):
        table.add_column(heading, overflow="fold")
    for one in tasks:
        cells = (
            one.task_id,
            one.name or "?",
            f"{one.state} {utc(_latest_time(one), unknown='')}",
            one.worker or "none",
        )
        table.add_row(*map(cell, cells))
    return table


def _latest_time(attempt: Attempt) -> float | None:
    """The time of the latest event that came of it."""
    times = (attempt.finished, attempt.started, attempt.received, attempt.sent)
    return next((time for time in times if time is not None), None)


def _listed(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
    return ", ".join(ids[:MOST_IDS]) + more


def _say(text: str) -> None:
    """Print to stderr; stdout is for data."""
    echo(text, err=True)
