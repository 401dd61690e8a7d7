"""`celery -A proj send`: messages to work on, as the tutorials' `new_task.py` sends them."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options
from kombu.utils.uuid import uuid

from proj.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery
    from celery.canvas import Signature

    from proj.delivery.send_many import Progress

#: What `new_task.py` sends when it is given no words.
DEFAULT_MESSAGE = "Hello World!"
TASK = "proj.tasks.work"
#: Messages on their way at a time.
IN_FLIGHT = 1000


@click.command(cls=CeleryCommand)
@click.argument("messages", nargs=-1)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Send this many numbered, time-stamped messages: '0 2014-04-22 00:10:16.946810 - Basic - Hello World'.",
)
@click.option("--queue", help="Send to this queue instead.  [default: task_queue]")
@click.pass_context
@handle_preload_options  # type: ignore[untyped-decorator] # Celery has no types
def send(ctx: click.Context, *, messages: tuple[str, ...], count: int | None, queue: str | None) -> None:
    """Send MESSAGES to the work queue; every dot in one is a second of work.

    Without MESSAGES it reads them from standard input, one a line, or sends 'Hello World!' when that is
    a terminal. A message is reported as sent when the broker has it on disk.

    \b
    Examples:
      celery -A proj send "First message." "Second message.."
      celery -A proj send --count 15
      seq 5 | sed 's/$/.../' | celery -A proj send

    Many are on their way at a time, and what was not confirmed when the broker went away is sent again when it is
    back. Standard input is sent line by line.

    Exit codes: 0 all sent; 1 one was refused; 2 wrong use; 3 no broker answers.
    """
    if count is not None and messages:
        raise click.UsageError("Give MESSAGES or --count, not both.")
    app: Celery = ctx.obj.app
    app.loader.import_default_modules()
    if TASK not in app.tasks:
        raise click.UsageError(f"The app {app.main!r} has no task {TASK}; call it as: celery -A proj send …")
    if count is not None:
        _send(app, numbered(count), queue=queue, in_flight=IN_FLIGHT)
    elif messages:
        _send(app, messages, queue=queue, in_flight=IN_FLIGHT)
    else:
        # Whoever types lines, or makes them slowly, wants to see each one sent before the next.
        _send(app, _from_stdin(), queue=queue, in_flight=1)


def numbered(count: int) -> Iterator[str]:
    """The numbered messages of the oldest tutorial; the time stamp's dot makes each a second of work."""
    now = datetime.now().isoformat(sep=" ", timespec="microseconds")  # noqa: DTZ005 local time, as in the tutorial
    return (f"{number} {now} - Basic - Hello World" for number in range(count))


def _from_stdin() -> Iterable[str]:
    if sys.stdin.isatty():
        return (DEFAULT_MESSAGE,)
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())


def _send(app: Celery, messages: Iterable[str], *, queue: str | None, in_flight: int) -> None:
    from proj.connection import connected
    from proj.delivery.send_many import send_many

    # A broker that is not there is told at once: the retries are for one that goes away meanwhile.
    with connected(app.connection_for_write()):
        pass
    on_their_way: dict[str, str] = {}

    def signatures() -> Iterator[Signature]:
        for message in messages:
            _check(message)
            task_id = uuid()
            on_their_way[task_id] = message
            yield app.tasks[TASK].s(message).set(task_id=task_id, queue=queue, ignore_result=True)

    def confirmed(task_id: str) -> None:
        click.echo(f" [x] Sent {on_their_way.pop(task_id)!r}")

    def progress(now: Progress) -> None:
        click.echo(f"\r{now.confirmed} sent, {now.in_flight} on their way", nl=False, err=True)

    # Where both go to the terminal, the messages themselves are the progress.
    shown = progress if sys.stderr.isatty() and not sys.stdout.isatty() else None
    try:
        send_many(signatures(), app=app, in_flight=in_flight, on_progress=shown, on_confirmed=confirmed)
    finally:
        if shown is not None:
            click.echo(err=True)


def _check(message: str) -> None:
    """Refuse what no other client could read.

    Raises:
        InvalidMessage: bytes that are not UTF-8 reached us as lone surrogates.
    """
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"The message {message!r} is not UTF-8 text, so nothing could read it.") from error
