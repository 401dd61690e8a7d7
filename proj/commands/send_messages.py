"""Sends the messages of `send` to an address, and reports each one when RabbitMQ has confirmed it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kombu.utils.uuid import uuid

from proj.broker.connection import connected
from proj.commands.terminal.console import echo
from proj.delivery.publishing.plain_message import PlainMessage
from proj.delivery.send_many import send_many
from proj.errors import InvalidMessage, ProjError, Unroutable
from proj.queues import BROADCAST, EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery, Task

    from proj.delivery.send_many import Progress


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to send: the app's default queue, another queue, or an exchange of ours with a routing key."""

    queue: str | None = None
    exchange: str | None = None
    key: str = ""

    def task_options(self) -> dict[str, Any]:
        """The address as options of `apply_async`."""
        if self.exchange is None:
            return {"queue": self.queue}
        return {"exchange": self.exchange, "routing_key": self.key}

    def plain(self, text: str, message_id: str, app: Celery) -> PlainMessage:
        """The text as a plain message to the address, which is declared first, as `new_task.py` does."""
        if self.exchange is not None:
            made = EXCHANGES[self.exchange]
            return PlainMessage(text=text, id=message_id, exchange=self.exchange, routing_key=self.key, declare=(made,))
        queue = app.amqp.queues[self.queue or app.conf.task_default_queue]
        return PlainMessage(text=text, id=message_id, routing_key=queue.name, declare=(queue,))

    def remedy(self) -> str:
        """Why no queue takes a message there, and what to do."""
        if self.exchange == BROADCAST.name:
            return "no worker is bound to the exchange 'broadcast'. Start one: celery -A proj worker"
        return (
            f"no queue is bound to the exchange {self.exchange!r} with the routing key {self.key!r}. "
            f"Start a worker that is: PROJ_BIND={self.key!r} celery -A proj worker"
        )


def send_messages(
    app: Celery,
    messages: Iterable[str],
    address: Address,
    *,
    task: Task[..., Any] | None,
    in_flight: int,
    timeout_s: float | None = None,
) -> None:
    """Send each message to the address and print it when it is confirmed; without a `task`, as a plain text.

    It gives up after `timeout_s` without progress, by default after `proj_publish_timeout_s`.

    Raises:
        InvalidMessage: a message is not text; those before it are sent.
        Unroutable: no queue takes some of the messages; the others are sent.
        PublishRefused: RabbitMQ refuses some of the messages for another reason.
        QueueFull: a queue was full until the deadline; the other messages are sent.
        Unconfirmed: RabbitMQ did not confirm in time.
        NoBroker: no broker answers.
        BrokenPipeError: standard output was closed; messages that were begun are sent.
        ProjError: standard output cannot be written for another reason; messages that were begun are sent.
    """
    # A missing broker is an error at once. The retries are for one that goes away later.
    with connected(app.connection_for_write()):
        pass
    on_their_way: dict[str, str] = {}
    options = {**address.task_options(), "ignore_result": True}

    def signatures() -> Iterator[Any]:
        for message in messages:
            _check(message)
            message_id = uuid()
            on_their_way[message_id] = message
            if task is None:
                yield address.plain(message, message_id, app)
            else:
                yield task.s(message).set(task_id=message_id, **options)

    def confirmed(message_id: str) -> None:
        try:
            echo(f" [x] Sent {on_their_way.pop(message_id)!r}")
        except BrokenPipeError:
            # As with `| head -1`. Click exits without a message.
            raise
        except OSError as error:
            _abandon_output()
            raise ProjError(
                f"Standard output takes no more ({error.strerror}). Messages that were begun are sent, and no others."
            ) from error

    # When both go to the terminal, the printed messages show the progress.
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    try:
        send_many(
            signatures(),
            app=app,
            in_flight=in_flight,
            timeout_s=timeout_s,
            on_progress=_Talk(shown=shown),
            on_confirmed=confirmed,
        )
    except Unroutable as error:
        if address.exchange is None:
            raise
        count = len(error.task_ids)
        which = f"{count} messages were" if count > 1 else f"The message {on_their_way[error.task_ids[0]]!r} was"
        raise Unroutable(f"{which} not sent: {address.remedy()}", error.task_ids) from error
    finally:
        if shown:
            echo(err=True)


def _abandon_output() -> None:
    """Discard what is still buffered for standard output; Python would try to write it again at its end, and fail.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Talk:
    """Prints the progress on stderr: once that it waits for room, and the counts when `shown`."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._waits = False

    def __call__(self, now: Progress) -> None:
        if now.nacked and not self._waits:
            self._waits = True
            echo("The queue is full; waiting for room.", err=True)
        if self._shown:
            echo(f"{now.confirmed} sent, {now.in_flight} in flight", nl=False, err=True, over=True)


def _check(message: str) -> None:
    """Check that other clients can read the message.

    Raises:
        InvalidMessage: it has lone surrogates, which stand for bytes that are not UTF-8.
    """
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"The message {message!r} is not UTF-8 text, so no client could read it.") from error
