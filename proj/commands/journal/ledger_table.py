"""The ledger of a journal: counted, shown, and judged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.table import Table

from proj.broker.queue_depths import Gauge
from proj.delivery.health.held_tasks import holdings
from proj.errors import EXIT_FAILED
from proj.journal.ledger import Ledger, ledger
from proj.journal.reader import open_journal

if TYPE_CHECKING:
    from pathlib import Path

    from celery import Celery

#: Ids that are listed for people; JSON has all.
MOST_IDS = 20


def audit_journal(
    app: Celery,
    file: Path,
    *,
    run: str | None,
    settle_s: float | None,
    dead_letters: str,
    broker_api: str | None,
    as_json: bool,
) -> None:
    """Print the ledger of a journal, and exit with 1 when something is missing.

    It looks again after `settle_s` seconds before it calls a task missing; None asks no broker at all.

    Raises:
        ProjError: there is no such journal.
        NoBroker: no broker answers.
    """
    gauge = None if settle_s is None else Gauge(app, broker_api=broker_api)
    result = _look(app, file, gauge, run=run, dead_letters=dead_letters)
    if result.missing and settle_s:
        # Events and statistics may be under way; what is missing stays missing.
        time.sleep(settle_s)
        result = _look(app, file, gauge, run=run, dead_letters=dead_letters)
    if as_json:
        click.echo(json.dumps(_document(result), indent=2))
    else:
        _show(result)
    if gauge is not None and gauge.doubt:
        click.echo(gauge.doubt, err=True)
    if result.missing:
        raise SystemExit(EXIT_FAILED)


def _look(app: Celery, file: Path, gauge: Gauge | None, *, run: str | None, dead_letters: str) -> Ledger:
    with open_journal(file) as journal:
        attempts = journal.attempts(run)
    if gauge is None:
        return ledger(attempts)
    queues = {attempt.queue for attempt in attempts if attempt.queue} | set(app.amqp.queues)
    held = holdings(app, gauge, queues=queues, dead_letters=dead_letters)
    # Once more: what ended while the workers were asked is not missing.
    with open_journal(file) as journal:
        return ledger(journal.attempts(run), held)


def _document(result: Ledger) -> dict[str, object]:
    return {
        "tasks": len(result.fates),
        "counts": dict(result.counts),
        "missing": result.missing,
        "suspects": list(result.suspects),
        "duplicates": dict(result.duplicates),
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
    if result.missing == len(result.suspects) and result.missing:
        console.print(f"Missing: {_listed(result.suspects)}")
    elif result.missing:
        console.print(f"Missing: at least {result.missing} of {_listed(result.suspects)}")


def _listed(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - MOST_IDS} more" if len(ids) > MOST_IDS else ""
    return ", ".join(ids[:MOST_IDS]) + more
