"""What a person asks of dead letters, done: listed, shown, requeued, exported, imported or purged."""

from __future__ import annotations

import itertools
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TextIO

import click

from proj.commands.queues.dead_letter_table import print_table, print_whole
from proj.delivery.dead_letters import export
from proj.delivery.dead_letters.delivery_limit import doubt_about_looking
from proj.delivery.dead_letters.queue import MOST
from proj.errors import EXIT_FAILED, ProjError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.broker.management_api import Management
    from proj.delivery.dead_letters.letter import DeadLetter
    from proj.delivery.dead_letters.queue import DeadLetters, HeldLetter

#: Rows of a table, unless --limit says otherwise.
ROWS = 100


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """Which letters, and what to do with them, as the command line has it."""

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
    anyway: bool
    as_json: bool

    def __post_init__(self) -> None:
        """Refuse what contradicts itself.

        Raises:
            UsageError: it does.
        """
        acts = [name for name in ("show", "requeue", "export", "purge", "import_file") if getattr(self, name)]
        chosen = bool(self.ids or self.task or self.reason)
        if len(acts) > 1 and acts != ["export", "purge"]:
            raise click.UsageError("Of --show, --requeue, --export, --purge and --import only one goes at a time.")
        if acts and acts != ["import_file"] and not chosen and not self.everything:
            raise click.UsageError("Which letters? Name their IDs, or choose them by --task, --reason or --all.")
        if chosen and self.everything:
            raise click.UsageError("--all goes without IDs, --task and --reason.")
        if self.to and not self.requeue:
            raise click.UsageError("--to goes with --requeue.")

    @property
    def at_most(self) -> int | None:
        """How many have to be looked at, the oldest first; None where it is not known before."""
        if self.ids or self.task or self.reason or self.everything:
            return None
        return self.limit if self.as_json or self.import_file else self.limit or ROWS

    def choose(self, letter: DeadLetter) -> bool:
        """Whether it is one of those that are wanted."""
        return (
            (not self.ids or letter.id in self.ids)
            and (self.task is None or letter.task == self.task)
            and (self.reason is None or self.reason.casefold() in letter.reason.casefold())
        )


def serve(letters: DeadLetters, management: Management, wishes: Wishes) -> None:
    """Do what is wished, and print what was done.

    Raises:
        ProjError: letters were not found, or could not be requeued; or nothing may be looked at.
    """
    with letters:
        if wishes.import_file:
            _import(letters, wishes.import_file)
            return
        if not wishes.anyway:
            doubt = doubt_about_looking(
                letters.queue, version=letters.version, management=management, vhost=letters.vhost
            )
            if doubt:
                click.echo(doubt, err=True)
        if letters.total > letters.count == MOST:
            click.echo(f"{letters.queue} has {letters.total} letters; these are the oldest {letters.count}.", err=True)
        missing = set(wishes.ids)
        chosen = _chosen(letters, wishes, missing)
        if wishes.requeue:
            kept = _requeue(letters, chosen, wishes)
        elif wishes.export or wishes.purge:
            kept = _remove(letters, chosen, wishes)
        else:
            kept = _show(letters, chosen, wishes)
    if missing:
        raise ProjError(f"{letters.queue} has no letter {', '.join(sorted(missing))}.")
    if kept:
        raise click.exceptions.Exit(EXIT_FAILED)


def _chosen(letters: DeadLetters, wishes: Wishes, missing: set[str]) -> Iterator[HeldLetter]:
    """The wanted ones; `missing` loses the ids that were seen."""
    limit = wishes.limit
    for held in letters:
        if wishes.choose(held.letter):
            missing.discard(held.letter.id)
            yield held
            if limit is not None:
                limit -= 1
                if limit == 0:
                    missing.clear()
                    return


def _show(letters: DeadLetters, chosen: Iterator[HeldLetter], wishes: Wishes) -> int:
    if wishes.show:
        for held in chosen:
            if wishes.as_json:
                click.echo(export.line(held))
            else:
                print_whole(held)
    elif wishes.as_json:
        for held in chosen:
            click.echo(json.dumps(asdict(held.letter)))
    else:
        rows = [held.letter for held in itertools.islice(chosen, wishes.limit or ROWS)]
        print_table(rows)
        if letters.total > len(rows) == (wishes.limit or ROWS):
            click.echo(f"{letters.queue} has {letters.total} letters; --limit shows more, --json all.", err=True)
    return 0


def _requeue(letters: DeadLetters, chosen: Iterator[HeldLetter], wishes: Wishes) -> int:
    """The number of those that could not be."""
    return sum(not _requeued(letters, held, wishes) for held in chosen)


def _requeued(letters: DeadLetters, held: HeldLetter, wishes: Wishes) -> bool:
    try:
        letters.requeue(held, queue=wishes.to)
    except ProjError as error:
        click.echo(error.message, err=True)
        return False
    _say("requeued", held.letter.id, wishes.to or held.letter.queue, as_json=wishes.as_json)
    return True


def _remove(letters: DeadLetters, chosen: Iterator[HeldLetter], wishes: Wishes) -> int:
    """Export, purge, or both: nothing goes before it is in the file."""
    tags: list[tuple[int, str]] = []
    if wishes.export:
        with _new_file(wishes.export) as file:
            for held in chosen:
                file.write(export.line(held) + "\n")
                tags.append((held.tag, held.letter.id))
        if wishes.export != "-":
            click.echo(f" [x] Wrote {len(tags)} to {wishes.export}", err=True)
    else:
        tags = [(held.tag, held.letter.id) for held in chosen]
    if wishes.purge and tags:
        question = f"Remove {len(tags)} of the {letters.total} letters in {letters.queue} for ever?"
        if not wishes.yes:
            click.confirm(question, abort=True, err=True)
        for tag, name in tags:
            letters.discard(tag)
            if wishes.export != "-":
                _say("purged", name, None, as_json=wishes.as_json)
    return 0


def _import(letters: DeadLetters, path: str) -> None:
    with click.open_file(path) as file:
        number = 0
        for number, text in enumerate(file, start=1):
            name, properties, body = export.message(text, number=number)
            letters.publish(name, body, properties, letters.queue)
    click.echo(f" [x] Put {number} into {letters.queue}", err=True)


def _say(done: str, name: str, queue: str | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"id": name, "done": done, "queue": queue}))
    else:
        click.echo(f" [x] {done.capitalize()} {name}" + (f" to {queue}" if queue else ""))


@contextmanager
def _new_file(path: str) -> Iterator[TextIO]:
    """A file that was not there, on disk when the block ends; `-` is stdout.

    Raises:
        UsageError: there is one already, or none can be made.
    """
    if path == "-":
        yield sys.stdout
        return
    try:
        file = open(path, "x", encoding="utf-8")  # noqa: PTH123, SIM115 the path is click's; closed below
    except OSError as error:
        raise click.UsageError(
            f"{path} cannot be written: {error.strerror}. Exported letters go to a new file."
        ) from error
    with file:
        yield file
        file.flush()
        os.fsync(file.fileno())
