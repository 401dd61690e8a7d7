"""`celery -A proj send`: messages to work on, as the tutorials' `new_task.py` sends them."""

from __future__ import annotations

import math
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click
from celery.bin.base import CeleryCommand, handle_preload_options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery

#: What `new_task.py` sends when it is given no words.
DEFAULT_MESSAGE = "Hello World!"
TASK = "proj.tasks.work"
#: Messages on their way at a time.
IN_FLIGHT = 1000
#: Bytes of a routing key in AMQP.
LONGEST_KEY = 255


@click.command(cls=CeleryCommand)
@click.argument("messages", nargs=-1)
@click.option(
    "--count",
    type=click.IntRange(min=1),
    help="Send this many numbered, time-stamped messages: '0 2014-04-22 00:10:16.946810 - Basic - Hello World'.",
)
@click.option("--queue", help="Send to this queue instead.  [default: task_queue]")
@click.option(
    "--exchange",
    type=click.Choice(["broadcast", "direct", "topic"]),
    help="Send to workers by this exchange instead: to each one, or to those that ask for --key.",
)
@click.option("--key", help="The routing key, such as image.heavy; with --exchange direct or topic.")
@click.option("--plain", is_flag=True, help="Send bare texts, as new_task.py does, for any AMQP client to read.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    help="Seconds without any progress until it is given up, a full queue included.  [default: 90]",
)
@click.pass_context
@handle_preload_options
def send(
    ctx: click.Context,
    *,
    messages: tuple[str, ...],
    count: int | None,
    queue: str | None,
    exchange: str | None,
    key: str | None,
    plain: bool,
    timeout: float | None,
) -> None:
    """Send MESSAGES to the work queue; every dot in one is a second of work.

    Without MESSAGES it reads them from standard input, one a line, or sends 'Hello World!' when that is
    a terminal. A message is reported as sent when the broker has it on disk. An empty MESSAGE is one, without work;
    an empty line is none.

    \b
    Examples:
      celery -A proj send "First message." "Second message.."
      celery -A proj send --count 15
      seq 5 | sed 's/$/.../' | celery -A proj send
      celery -A proj send --exchange broadcast "everyone."
      celery -A proj send --exchange topic --key image.heavy "photo..."
      celery -A proj send --plain "for worker.py.."

    \b
    --exchange broadcast   each worker does it once
    --exchange topic       workers started with PROJ_BIND="*.heavy" or another
                           pattern that the key matches; those of the same
                           patterns share the work, and a message that matches
                           two of them comes once
    --exchange direct      workers started with PROJ_BIND=image.heavy, which is
                           exactly the key

    Many are on their way at a time, and what was not confirmed when the broker went away is sent again when it is
    back. Where a queue is full (a policy with reject-publish), it waits for room. Standard input is sent line by line.

    Exit codes: 0 all sent; 1 one was refused, its queue is full, no queue takes it, or standard output was closed
    (as under '| head -1': then no more are begun, and those that were are sent once); 2 wrong use; 3 no broker
    answers.
    """
    if count is not None and messages:
        raise click.UsageError("Give MESSAGES or --count, not both.")
    if timeout is not None and math.isnan(timeout):
        raise click.UsageError("--timeout is nan, but must be a number of seconds.")
    _check_address(queue, exchange, key)
    app: Celery = ctx.obj.app
    app.loader.import_default_modules()
    if TASK not in app.tasks:
        raise click.UsageError(f"The app {app.main!r} has no task {TASK}; call it as: celery -A proj send …")
    from proj.commands.send_messages import Address, send_messages
    from proj.commands.terminal.app_hint import naming_the_app

    address = Address(queue=queue, exchange=exchange, key=key or "")
    task = None if plain else app.tasks[TASK]
    in_flight = IN_FLIGHT
    if count is not None:
        given: Iterable[str] = numbered(count)
    elif messages:
        given = messages
    else:
        # Whoever types lines, or makes them slowly, wants to see each one sent before the next.
        given, in_flight = _from_stdin(), 1
    with naming_the_app(ctx):
        send_messages(app, given, address, task=task, in_flight=in_flight, timeout_s=timeout)


def _check_address(queue: str | None, exchange: str | None, key: str | None) -> None:
    if exchange is None and key is not None:
        raise click.UsageError("--key is for --exchange direct or topic.")
    if exchange is not None and queue is not None:
        raise click.UsageError("Give --queue or --exchange, not both.")
    if exchange == "broadcast" and key is not None:
        raise click.UsageError("--exchange broadcast reaches each worker, whatever the --key; leave it away.")
    if exchange in {"direct", "topic"} and not key:
        raise click.UsageError(f"--exchange {exchange} needs a --key, such as image.heavy.")
    if key is not None and len(key.encode(errors="surrogateescape")) > LONGEST_KEY:
        raise click.UsageError(f"--key has more than {LONGEST_KEY} bytes, the most that AMQP carries.")


def numbered(count: int) -> Iterator[str]:
    """The numbered messages of the oldest tutorial; the time stamp's dot makes each a second of work."""
    now = datetime.now().isoformat(sep=" ", timespec="microseconds")  # noqa: DTZ005 local time, as in the tutorial
    return (f"{number} {now} - Basic - Hello World" for number in range(count))


def _from_stdin() -> Iterable[str]:
    if sys.stdin.isatty():
        return (DEFAULT_MESSAGE,)
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())
