"""What was found in a journal, printed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.table import Table

from proj.commands.terminal.clock import utc
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.commands.terminal.fitted import Fitted
from proj.commands.terminal.reading import say_reading
from proj.errors import EXIT_FAILED
from proj.journal.finding.outcome import outcomes
from proj.journal.finding.query import InvalidQuery, parsed_query
from proj.journal.finding.search import search
from proj.journal.reader import open_journal
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from proj.journal.attempt import Attempt

#: Characters of the arguments in the table; JSON has all.
LONGEST_ARGUMENTS = 60


def search_journal(file: Path, words: Sequence[str], *, arguments: bool, limit: int, as_json: bool) -> None:
    """Print the attempts that match; exit with 1 when none does.

    Raises:
        UsageError: the words cannot be searched for.
        ProjError: there is no such journal.
    """
    try:
        query = parsed_query(words, arguments=arguments)
    except InvalidQuery as error:
        hint = " Add --arguments." if "arguments" in error.message else ""
        raise click.UsageError(error.message + hint) from error
    say_reading(file)
    with open_journal(file) as journal:
        found = search(journal, query, limit=limit)
        tasks = journal.attempts_of(dict.fromkeys(one.task_id for one in found.attempts))
    became = {
        (one.task_id, one.number): words
        for own in tasks.values()
        for one, words in zip(own, outcomes(own), strict=True)
    }
    shown = [(one, became.get((one.task_id, one.number), one.state)) for one in found.attempts]
    if query.has_id:
        shown.reverse()
    if as_json:
        echo_json([_document(one, words, arguments=arguments) for one, words in shown], indent=2)
    elif shown:
        console().print(Fitted(_table(shown, arguments=arguments)))
    if found.more:
        echo(f"There are more; these are the latest {len(shown):,}. --limit shows more.", err=True)
    if not shown:
        echo("No attempt matches.", err=True)
        raise SystemExit(EXIT_FAILED)
    tasks_found = len(tasks)
    echo(f"{counted(len(shown), 'attempt')} of {counted(tasks_found, 'task')}.", err=True)


def _document(one: Attempt, outcome: str, *, arguments: bool) -> dict[str, object]:
    document = {**asdict(one), "outcome": outcome}
    if not arguments:
        del document["arguments"]
    return document


def _table(shown: Sequence[tuple[Attempt, str]], *, arguments: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    heads = ["task", "attempt", "name", "queue", "worker", "first event", "what became of it"]
    for head in [*heads, *(["arguments"] if arguments else [])]:
        table.add_column(head, overflow="fold", justify="right" if head == "attempt" else "left")
    for one, outcome in shown:
        first = next((time for time in (one.sent, one.received, one.started, one.finished) if time is not None), None)
        cells = [
            one.task_id,
            str(one.number + 1),
            one.name or "?",
            one.queue or "?",
            one.worker or "none",
            utc(first, unknown="?"),
            outcome,
            *([one.arguments[:LONGEST_ARGUMENTS]] if arguments else []),
        ]
        table.add_row(*map(cell, cells))
    return table
