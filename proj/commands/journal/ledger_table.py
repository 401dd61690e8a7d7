"""The ledger of a journal: made with what the broker says now, and printed."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from proj.broker.queue_depths import QueueDepths
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.health.held_tasks import held_tasks
from proj.errors import EXIT_FAILED
from proj.journal.attempt import OPEN
from proj.journal.ledger import Holdings, Ledger, ledger
from proj.journal.reader import open_journal
from proj.metrics import hoards

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

    from proj.journal.attempt import Attempt
    from proj.journal.records import Worker
    from proj.metrics import Hoard

#: Ids in a list for people; JSON has all.
MOST_IDS = 20


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
    """Print the ledger of a journal, and exit with 1 when a task is missing.

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
    result = audit.look(queue_depths)
    if result.missing and settle_s:
        # Events and the broker's statistics may be late. A task that is really missing stays missing.
        time.sleep(settle_s)
        result = audit.look(queue_depths)
    if as_json:
        click.echo(json.dumps(_document(result, audit.hoards), indent=2))
    else:
        _show(result)
    doubts = (audit.warning, queue_depths.doubt if queue_depths else None)
    for warning in (*filter(None, doubts), *(hoard.sentence(now=False) for hoard in audit.hoards)):
        click.echo(warning, err=True)
    if result.missing:
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

    def look(self, queue_depths: QueueDepths | None) -> Ledger:
        """The ledger now; without `queue_depths` no broker is asked."""
        attempts, workers = self._read()
        if queue_depths is None:
            self.hoards = _hoards(attempts, workers, Holdings())
            return ledger(attempts)
        queues = {attempt.queue for attempt in attempts if attempt.queue} | set(self._app.amqp.queues)
        held = held_tasks(self._app, queue_depths, queues=queues, dead_letters=self._dead_letters)
        self.warning = held.warning
        # The journal is read again, so that a task that ended while the workers were asked is not missing.
        attempts, workers = self._read()
        self.hoards = _hoards(attempts, workers, held.holdings)
        return ledger(attempts, held.holdings)

    def _read(self) -> tuple[list[Attempt], list[Worker]]:
        with open_journal(self._file) as journal:
            return journal.attempts(self._run), journal.workers()


def _hoards(attempts: list[Attempt], workers: list[Worker], holdings: Holdings) -> list[Hoard]:
    """The workers that had more messages than slots. An attempt without an end counts if a worker says it has it."""
    has = holdings.held | holdings.running
    return hoards([one for one in attempts if one.state not in OPEN or one.task_id in has], workers)


def _document(result: Ledger, hoarding: list[Hoard]) -> dict[str, object]:
    return {
        "tasks": len(result.fates),
        "counts": dict(result.counts),
        "missing": result.missing,
        "suspects": list(result.unaccounted),
        "duplicates": dict(result.duplicates),
        "hoards": [asdict(hoard) for hoard in hoarding],
        "fates": dict(result.fates),
    }


def _show(result: Ledger) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fate")
    table.add_column("tasks", justify="right")
    for fate, count in result.counts.items():
        table.add_row(fate, str(count))
    table.add_section()
    table.add_row("sent", str(len(result.fates)))
    console = Console()
    console.print(table)
    if result.duplicates:
        console.print(f"Done more than once: {_listed(tuple(result.duplicates))}")
    if result.missing == len(result.unaccounted) and result.missing:
        console.print(f"Missing: {_listed(result.unaccounted)}")
    elif result.missing:
        console.print(f"Missing: at least {result.missing} of {_listed(result.unaccounted)}")


def _listed(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
    return ", ".join(ids[:MOST_IDS]) + more
