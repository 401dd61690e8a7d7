"""`queues dead`: which letters are chosen, and what is done with them."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from proj.commands.queues.dead_letter_table import print_table, print_whole
from proj.commands.queues.requeue_letters import requeue_letters
from proj.commands.terminal.app_hint import naming_the_app
from proj.commands.terminal.console import confirm, echo, echo_json
from proj.delivery.dead_letters import export
from proj.delivery.dead_letters.choice import Choice, Chosen
from proj.delivery.dead_letters.queue import MOST
from proj.delivery.dead_letters.requeue import Requeue
from proj.errors import EXIT_FAILED, ProjError
from proj.journal.actions import PURGE, REQUEUE, recorded
from proj.plural import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery

    from proj.delivery.dead_letters.queue import DeadLetterQueue

#: Rows of a table, unless --limit says otherwise.
ROWS = 100


@dataclass(frozen=True, kw_only=True)
class DeadOptions:
    """The options of `queues dead`: which letters, and what to do with them."""

    ids: tuple[str, ...]
    task: str | None
    reason: str | None
    everything: bool
    show: bool
    requeue: bool
    to: str | None
    export: str | None
    purge: bool
    yes: bool
    import_file: str | None
    limit: int | None
    as_json: bool
    journal: Path | None = None

    def __post_init__(self) -> None:
        """Refuse options that contradict each other.

        Raises:
            UsageError: some do.
        """
        actions = [name for name in ("show", "requeue", "export", "purge", "import_file") if getattr(self, name)]
        is_chosen = bool(self.ids or self.task or self.reason)
        if len(actions) > 1 and actions != ["export", "purge"]:
            raise click.UsageError("--show, --requeue, --export, --purge and --import cannot be combined.")
        if actions and actions != ["import_file"] and not is_chosen and not self.everything:
            raise click.UsageError("Which letters? Name their IDs, or choose them by --task, --reason or --all.")
        if is_chosen and self.everything:
            raise click.UsageError("--all cannot be combined with IDs, --task or --reason.")
        if self.to and not self.requeue:
            raise click.UsageError("--to needs --requeue.")

    @property
    def at_most(self) -> int | None:
        """How many letters have to be read, the oldest first; None when all may have to be."""
        if self.ids or self.task or self.reason or self.everything:
            return None
        return self.limit if self.as_json or self.import_file else self.limit or ROWS

    @property
    def reads_no_letter(self) -> bool:
        """Whether letters are only added."""
        return self.import_file is not None

    @property
    def choice(self) -> Choice:
        """The letters that are meant."""
        return Choice(ids=self.ids, task=self.task, reason=self.reason, limit=self.limit)


def process_letters(app: Celery, letters: DeadLetterQueue, options: DeadOptions) -> None:
    """Do with the letters of the app what the options say, and print what was done.

    Raises:
        ProjError: a letter was not found, or the queue cannot be read.
        Exit: a letter could not be requeued.
    """
    with contextlib.ExitStack() as until_settled:
        requeue = Requeue(app, letters, queue=options.to)
        if options.requeue:
            until_settled.enter_context(requeue)
        until_settled.enter_context(letters)
        if options.import_file:
            _import(letters, options.import_file)
            return
        if letters.warning:
            echo(naming_the_app(letters.warning), err=True)
        if letters.total > letters.count == MOST:
            echo(f"{letters.name} has {letters.total} letters; these are the oldest {letters.count}.", err=True)
        chosen = Chosen(letters, options.choice)
        failed = 0
        if options.requeue:
            with recorded(REQUEUE, options.choice.describe(letters.name, options.to), journal=options.journal) as count:
                failed = requeue_letters(letters, requeue, chosen, to=options.to, as_json=options.as_json, count=count)
        elif options.export or options.purge:
            _export_and_purge(letters, chosen, options)
        else:
            _show(letters, chosen, options)
    if chosen.missing:
        raise ProjError(f"{letters.name} has no letter {', '.join(sorted(chosen.missing))}.")
    if failed:
        raise click.exceptions.Exit(EXIT_FAILED)


def _show(letters: DeadLetterQueue, chosen: Chosen, options: DeadOptions) -> None:
    if options.show:
        for unacked in chosen:
            if options.as_json:
                echo(export.to_line(unacked))
            else:
                print_whole(unacked)
    elif options.as_json:
        for unacked in chosen:
            echo_json(asdict(unacked.letter))
    else:
        rows = [unacked.letter for unacked in itertools.islice(chosen, options.limit or ROWS)]
        if rows:
            print_table(rows)
        elif not options.ids:
            such = "such " if options.task or options.reason else ""
            echo(f"{letters.name} has no {such}letters.", err=True)
        if letters.total > len(rows) == (options.limit or ROWS):
            echo(f"{letters.name} has {letters.total} letters; --limit shows more, --json all.", err=True)


def _export_and_purge(letters: DeadLetterQueue, chosen: Chosen, options: DeadOptions) -> None:
    """Export, purge, or both: no letter is removed before all are in the file."""
    # Tags and ids alone: the bodies of all letters may not fit into memory.
    tags: list[tuple[int, str]] = []
    if options.export:
        with _new_file(options.export) as file:
            for unacked in chosen:
                file.write(export.to_line(unacked) + "\n")
                tags.append((unacked.tag, unacked.letter.id))
        if not tags:
            if options.export != "-":
                Path(options.export).unlink()
            echo(f"{letters.name} has no letters to export, so nothing was written.", err=True)
        elif options.export != "-":
            echo(f" [x] Wrote {counted(len(tags), 'letter')} to {options.export}", err=True)
    else:
        tags = [(unacked.tag, unacked.letter.id) for unacked in chosen]
    if options.purge and tags:
        question = f"Remove {len(tags)} of the {counted(letters.total, 'letter')} in {letters.name} for ever?"
        if not options.yes:
            confirm(question)
        with recorded(PURGE, options.choice.describe(letters.name), journal=options.journal) as count:
            for tag, letter_id in tags:
                letters.discard(tag)
                count.value += 1
                if options.export != "-":
                    _print_purged(letter_id, as_json=options.as_json)


def _import(letters: DeadLetterQueue, path: str) -> None:
    with click.open_file(path) as file:
        number = 0
        for number, text in enumerate(file, start=1):
            letter = export.from_line(text, number=number)
            letters.publish(letter.id, letter.body, letter.properties, letters.name)
    echo(f" [x] Put {counted(number, 'letter')} into {letters.name}", err=True)


def _print_purged(letter_id: str, *, as_json: bool) -> None:
    if as_json:
        echo_json({"id": letter_id, "done": "purged", "queue": None})
    else:
        echo(f" [x] Purged {letter_id}")


@contextlib.contextmanager
def _new_file(path: str) -> Iterator[TextIO]:
    """A file that did not exist, on disk when the block ends; `-` is stdout.

    Raises:
        UsageError: there is one already, or it cannot be written.
    """
    if path == "-":
        yield sys.stdout
        return
    with contextlib.ExitStack() as closing:
        try:
            file = closing.enter_context(Path(path).open("x", encoding="utf-8"))
        except OSError as error:
            raise click.UsageError(
                f"{path} cannot be written: {error.strerror}. --export writes to a new file."
            ) from error
        yield file
        file.flush()
        os.fsync(file.fileno())
