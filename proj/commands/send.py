"""`celery -A proj send`: messages to work on, as the tutorials' `new_task.py` sends them."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options

from proj.errors import InvalidMessage, NoBroker

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

#: What `new_task.py` sends when it is given no words.
DEFAULT_MESSAGE = "Hello World!"
TASK = "proj.tasks.work"


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

    Exit codes: 0 all sent; 1 one was refused; 2 wrong use; 3 no broker answers.
    """
    if count is not None and messages:
        raise click.UsageError("Give MESSAGES or --count, not both.")
    app: Celery = ctx.obj.app
    app.loader.import_default_modules()
    if TASK not in app.tasks:
        raise click.UsageError(f"The app {app.main!r} has no task {TASK}; call it as: celery -A proj send …")
    _send(app, numbered(count) if count is not None else messages or _from_stdin(), queue=queue)


def numbered(count: int) -> list[str]:
    """The numbered messages of the oldest tutorial; the time stamp's dot makes each a second of work."""
    now = datetime.now().isoformat(sep=" ", timespec="microseconds")  # noqa: DTZ005 local time, as in the tutorial
    return [f"{number} {now} - Basic - Hello World" for number in range(count)]


def _from_stdin() -> Iterable[str]:
    if sys.stdin.isatty():
        return (DEFAULT_MESSAGE,)
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())


def _send(app: Celery, messages: Iterable[str], *, queue: str | None) -> None:
    from proj.connection import connected

    sent = 0
    with connected(app.connection_for_write()) as connection:
        try:
            with app.amqp.Producer(connection) as producer:
                for message in messages:
                    _check(message)
                    app.tasks[TASK].apply_async(
                        (message,), producer=producer, queue=queue, ignore_result=True, retry=False
                    )
                    sent += 1
                    click.echo(f" [x] Sent {message!r}")
        except (*connection.connection_errors, *connection.channel_errors) as error:
            raise NoBroker(f"The broker took {sent} messages and then failed us: {error}") from error


def _check(message: str) -> None:
    """Refuse what no other client could read.

    Raises:
        InvalidMessage: bytes that are not UTF-8 reached us as lone surrogates.
    """
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"The message {message!r} is not UTF-8 text, so nothing could read it.") from error
