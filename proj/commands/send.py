"""`celery -A proj send`: sends messages to work on, as the tutorials' `new_task.py` does."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import click
from celery.bin.base import handle_preload_options

from proj.commands.terminal.command import Command
from proj.commands.terminal.options import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery

#: The message that `new_task.py` sends without arguments.
DEFAULT_MESSAGE = "Hello World!"
TASK = "proj.tasks.work"
#: The most messages that are published and not yet confirmed.
IN_FLIGHT = 1000
#: The most bytes of a routing key in AMQP.
LONGEST_KEY = 255


@click.command(cls=Command)
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
    help="Send through this exchange instead: to each worker, or to those whose PROJ_BIND matches --key.",
)
@click.option("--key", help="The routing key, such as image.heavy; with --exchange direct or topic.")
@click.option("--plain", is_flag=True, help="Send plain texts, as new_task.py does, which any AMQP client can read.")
@click.option(
    "--timeout",
    type=Seconds(min=0.1),
    help="Seconds without progress after which it gives up, also when the queue is full.  [default: 90]",
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
    """Send MESSAGES to the work queue; each dot in a message is a second of work.

    Without MESSAGES it reads standard input, one message for each line, or sends 'Hello World!' when that is a
    terminal. A message is reported as sent when RabbitMQ has confirmed it. An empty MESSAGE is sent, as a message
    without work; an empty line is skipped. A --queue that does not exist is made, unless its name is nearly that of
    another.

    \b
    Examples:
      celery -A proj send "First message." "Second message.."
      celery -A proj send --count 15
      seq 5 | sed 's/$/.../' | celery -A proj send
      celery -A proj send --exchange broadcast "everyone."
      celery -A proj send --exchange topic --key image.heavy "photo..."
      celery -A proj send --plain "for worker.py.."

    \b
    --exchange broadcast   each worker gets it once
    --exchange topic       workers started with a pattern in PROJ_BIND that
                           matches the key, such as PROJ_BIND="*.heavy"; workers
                           with the same patterns share the messages, and a
                           message that matches two patterns comes once
    --exchange direct      workers started with exactly the key,
                           PROJ_BIND=image.heavy

    Up to 1000 messages are in flight at a time. When the broker goes away, messages without a confirm are sent
    again when it is back. When a queue is full (a policy with reject-publish), it waits for room. From standard
    input each line is confirmed before the next is read.

    Exit codes: 0 all sent; 1 a message was refused, its queue is full, no queue takes it, or standard output was
    closed (as with '| head -1': messages that were begun are sent once, and no others); 2 wrong use; 3 no broker
    answers.
    """
    if count is not None and messages:
        raise click.UsageError("Give MESSAGES or --count, not both.")
    _check_address(queue, exchange, key)
    app: Celery = ctx.obj.app
    app.loader.import_default_modules()
    if TASK not in app.tasks:
        raise click.UsageError(f"The app {app.main!r} has no task {TASK}; call it as: celery -A proj send …")
    from proj.broker.queue_depths import QueueDepths
    from proj.commands.send_messages import Address, send_messages
    from proj.commands.terminal.queue_name import refuse_misspelt_queue

    if queue is not None:
        refuse_misspelt_queue(app, queue, QueueDepths(app, broker_api=os.environ.get("FLOWER_BROKER_API")))
    address = Address(queue=queue, exchange=exchange, key=key or "")
    task = None if plain else app.tasks[TASK]
    in_flight = IN_FLIGHT
    if count is not None:
        given: Iterable[str] = numbered(count)
    elif messages:
        given = messages
    else:
        # A user who types lines wants to see each one sent before the next.
        given, in_flight = _from_stdin(), 1
    send_messages(app, given, address, task=task, in_flight=in_flight, timeout_s=timeout)


def _check_address(queue: str | None, exchange: str | None, key: str | None) -> None:
    if exchange is None and key is not None:
        raise click.UsageError("--key is for --exchange direct or topic.")
    if exchange is not None and queue is not None:
        raise click.UsageError("Give --queue or --exchange, not both.")
    if exchange == "broadcast" and key is not None:
        raise click.UsageError("--exchange broadcast reaches every worker and takes no --key; remove it.")
    if exchange in {"direct", "topic"} and not key:
        raise click.UsageError(f"--exchange {exchange} needs a --key, such as image.heavy.")
    if key is not None and len(key.encode(errors="surrogateescape")) > LONGEST_KEY:
        raise click.UsageError(f"--key has more than {LONGEST_KEY} bytes, the most that AMQP allows.")


def numbered(count: int) -> Iterator[str]:
    """The numbered messages of the oldest tutorial; the dot in the time stamp makes each one second of work."""
    # Local time, as in the tutorial.
    local = datetime.now(tz=timezone.utc).astimezone().replace(tzinfo=None)
    now = local.isoformat(sep=" ", timespec="microseconds")
    return (f"{number} {now} - Basic - Hello World" for number in range(count))


def _from_stdin() -> Iterable[str]:
    if sys.stdin.isatty():
        return (DEFAULT_MESSAGE,)
    return (line.rstrip("\r\n") for line in sys.stdin if line.strip())
