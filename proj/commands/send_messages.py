"""Messages on their way to the address that `send` was given, each reported when the broker has it."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from kombu.utils.uuid import uuid

from proj.broker.connection import connected
from proj.delivery.publishing.plain_message import PlainMessage
from proj.delivery.send_many import send_many
from proj.errors import InvalidMessage, ProjError, Unroutable
from proj.queues import BROADCAST, EXCHANGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from celery import Celery

    from proj.delivery.send_many import Progress


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to send: the app's default queue, another one, or an exchange of ours by a key."""

    queue: str | None = None
    exchange: str | None = None
    key: str = ""

    def task_options(self) -> dict[str, Any]:
        """The address as `apply_async` takes it."""
        if self.exchange is None:
            return {"queue": self.queue}
        return {"exchange": self.exchange, "routing_key": self.key}

    def plain(self, text: str, message_id: str, app: Celery) -> PlainMessage:
        """The text as a message to it; what it is sent to is made when it is missing, as `new_task.py` does."""
        if self.exchange is not None:
            made = EXCHANGES[self.exchange]
            return PlainMessage(text=text, id=message_id, exchange=self.exchange, routing_key=self.key, declare=(made,))
        queue = app.amqp.queues[self.queue or app.conf.task_default_queue]
        return PlainMessage(text=text, id=message_id, routing_key=queue.name, declare=(queue,))

    def remedy(self) -> str:
        """Why nothing takes what is sent there, and what to do."""
        if self.exchange == BROADCAST.name:
            return "no worker listens to the exchange 'broadcast'. Start one: celery -A proj worker"
        return (
            f"no queue is bound to the exchange {self.exchange!r} by the key {self.key!r}. "
            f"Start a worker that takes it: PROJ_BIND={self.key!r} celery -A proj worker"
        )


def send_messages(
    app: Celery,
    messages: Iterable[str],
    address: Address,
    *,
    task: Any,  # noqa: ANN401 Celery's task
    in_flight: int,
    timeout_s: float | None = None,
) -> None:
    """Send each message to the address and say so: as a task, or as a bare text when there is none.

    It is given up after `timeout_s` without any progress, or what is usual for the app.

    Raises:
        InvalidMessage: one is not text; those before it are sent.
        Unroutable: no queue takes some of them; the others are sent.
        PublishRefused: the broker will not have some of them for another reason.
        QueueFull: a queue had no room in time; the others are sent.
        Unconfirmed: the broker did not confirm in time.
        NoBroker: no broker answers.
        BrokenPipeError: nobody reads what is said of them any more; those that were begun are sent.
        ProjError: it cannot be written for another reason; those that were begun are sent.
    """
    # A broker that is not there is told at once: the retries are for one that goes away meanwhile.
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
            click.echo(f" [x] Sent {on_their_way.pop(message_id)!r}")
        except BrokenPipeError:
            # Nobody reads any more, as under `| head -1`: click ends without a word.
            raise
        except OSError as error:
            _abandon_output()
            raise ProjError(
                f"Standard output takes no more ({error.strerror}); the messages that were begun are sent, no others."
            ) from error

    # Where both go to the terminal, the messages themselves are the progress.
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
            click.echo(err=True)


def _abandon_output() -> None:
    """Let what is left for standard output vanish, which Python would try to write once more at its end, and fail.

    Source: https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


class _Talk:
    """What is said of the progress, on stderr: how far it is, where that is shown, and once that it waits for room."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._waits = False

    def __call__(self, now: Progress) -> None:
        if now.nacked and not self._waits:
            self._waits = True
            click.echo("The queue is full; waiting for room.", err=True)
        if self._shown:
            click.echo(f"\r{now.confirmed} sent, {now.in_flight} on their way", nl=False, err=True)


def _check(message: str) -> None:
    """Refuse what no other client could read.

    Raises:
        InvalidMessage: bytes that are not UTF-8 reached us as lone surrogates.
    """
    try:
        message.encode()
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"The message {message!r} is not UTF-8 text, so nothing could read it.") from error
