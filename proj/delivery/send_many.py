"""Many tasks at once: each is confirmed, and none waits for the confirm of another."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from celery.app import app_or_default

from proj.delivery.publishing.amqp import ConfirmingAMQP
from proj.delivery.publishing.building.templates import Templates
from proj.delivery.publishing.in_flight import InFlight
from proj.delivery.publishing.in_flight_producer import InFlightProducer
from proj.delivery.publishing.reply_queue import declared_once_a_second
from proj.delivery.settings import setting
from proj.errors import ProjError, PublishRefused, Unroutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Celery

    from proj.delivery.publishing.producer_pool import ConfirmingProducerPool

T = TypeVar("T")
#: Messages in flight at a time. More are no faster over loopback, and each may be sent twice.
IN_FLIGHT = 1000
#: Seconds between two reports of progress.
PROGRESS_EVERY_S = 0.1


class Sendable(Protocol):
    """What is sent: Celery's signatures, and plain messages."""

    def apply_async(self, *, producer: InFlightProducer) -> object:
        """Publish it with this producer."""


@dataclass(frozen=True)
class Progress:
    """What the broker has confirmed so far."""

    #: Tasks that the broker has.
    confirmed: int
    #: Tasks that are written, or about to be written, and not confirmed yet.
    in_flight: int
    #: How often a task was written again after the connection was lost; only such a task can be there twice.
    republished: int
    #: How often the broker sent a nack because a queue was full.
    nacked: int
    #: Tasks that the broker will never accept.
    refused: int
    seconds: float


def send_many(
    signatures: Iterable[Sendable],
    *,
    app: Celery | None = None,
    in_flight: int = IN_FLIGHT,
    timeout_s: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_confirmed: Callable[[str], None] | None = None,
) -> Progress:
    """Send every task, and return when the broker has confirmed each.

    Args:
        signatures: tasks such as `work.s("hello.")`, or chains and groups of them. They are taken one by one and never
            more than `in_flight` ahead of the confirms, so a generator of a million needs no more memory than one of a
            thousand.
        app: the app that sends, by default the current one. It needs `confirm_publishing`.
        in_flight: how many tasks may be unconfirmed at a time.
        timeout_s: seconds without progress after which it gives up, also when a queue is full. `math.inf` is for ever;
            by default the setting `proj_publish_timeout_s`.
        on_progress: called now and then, and at the end.
        on_confirmed: called with the id of each task as soon as the broker has it, in no particular order. When it or
            `on_progress` raises, no more tasks are taken, and neither is called again.

    Raises:
        Unconfirmed: the deadline has passed; the broker may have the tasks in `task_ids` or not.
        QueueFull: the deadline has passed because a queue was full; the broker has all tasks but those in `task_ids`.
        PublishRefused: the broker will never accept the tasks in `task_ids`, and has all others; `Unroutable` when none
            of those in `task_ids` reaches a queue.
        Exception: what `signatures`, a task's own check, `on_progress` or `on_confirmed` raised, after all tasks that
            were taken before were confirmed.

    After a lost connection exactly the unconfirmed tasks are written again. Signals are Celery's own:
    `after_task_publish` is sent when a task is written. The `task-sent` events of several tasks go in one message.
    """
    app = app_or_default(app)
    if not isinstance(app.amqp, ConfirmingAMQP):
        raise ProjError(f"The app {app.main!r} publishes without confirms: call confirm_publishing(app) first.")
    pool: ConfirmingProducerPool = app.amqp.producer_pool
    with pool.acquire(block=True) as pooled:
        messages = InFlight(
            pooled,
            timeout_s=setting(app, "proj_publish_timeout_s") if timeout_s is None else timeout_s,
        )
        producer = InFlightProducer(pooled, messages, event_exchange=app.conf.event_exchange)
        producer.templates = Templates(app, producer, app.amqp.sent_events)
        report = _Reporter(messages, on_progress, on_confirmed)
        try:
            with declared_once_a_second(app.backend):
                _send(signatures, pool=pool, producer=producer, messages=messages, limit=in_flight, report=report)
        finally:
            producer.close()
            messages.close()
            report.confirmed()
    if messages.refused:
        raise _refused(messages.refused)
    return report.progress()


def _send(
    signatures: Iterable[Sendable],
    *,
    pool: ConfirmingProducerPool,
    producer: InFlightProducer,
    messages: InFlight,
    limit: int,
    report: _Reporter,
) -> None:
    failure: Exception | None = None
    try:
        left_at = time.monotonic()
        for signature in signatures:
            messages.extend_deadline(time.monotonic() - left_at)
            with pool.sharing(producer):
                signature.apply_async(producer=producer)
            while len(messages) >= limit:
                messages.wait()
                report.now_and_then()
            report.now_and_then()
            if report.failure is not None:
                break
            left_at = time.monotonic()
    except Exception as error:
        if messages.given_up:
            raise
        failure = error
    producer.send_events()
    while len(messages):
        messages.wait()
        report.now_and_then()
    report.at_last()
    failure = failure or report.failure
    if failure is not None:
        raise failure


class _Reporter:
    """Tells the caller which tasks are confirmed, and from time to time the progress."""

    def __init__(
        self,
        messages: InFlight,
        on_progress: Callable[[Progress], None] | None,
        on_confirmed: Callable[[str], None] | None,
    ) -> None:
        self._messages = messages
        self._on_progress = on_progress
        self._on_confirmed = on_confirmed
        self._started_at = self._reported_at = time.monotonic()
        #: What a callback raised; no callback is called after that.
        self.failure: Exception | None = None

    def progress(self) -> Progress:
        messages = self._messages
        return Progress(
            confirmed=messages.confirmed,
            in_flight=len(messages),
            republished=messages.republished,
            nacked=messages.nacked,
            refused=len(messages.refused),
            seconds=time.monotonic() - self._started_at,
        )

    def now_and_then(self) -> None:
        self.confirmed()
        if time.monotonic() - self._reported_at >= PROGRESS_EVERY_S:
            self.at_last()

    def at_last(self) -> None:
        self.confirmed()
        self._reported_at = time.monotonic()
        self._call(self._on_progress, self.progress())

    def confirmed(self) -> None:
        for outgoing in self._messages.take_settled():
            if outgoing.refusal is None:
                self._call(self._on_confirmed, outgoing.task_id)

    def _call(self, callback: Callable[[T], None] | None, argument: T) -> None:
        if callback is None or self.failure is not None:
            return
        started_at = time.monotonic()
        try:
            callback(argument)
        except Exception as error:  # noqa: BLE001 it is raised when everything that was taken is confirmed
            self.failure = error
        # For example a pipe that is read slowly.
        self._messages.extend_deadline(time.monotonic() - started_at)


def _refused(errors: dict[str, PublishRefused]) -> PublishRefused:
    """One error for all; its text is that of the first."""
    first = next(iter(errors.values()))
    kind = Unroutable if all(isinstance(error, Unroutable) for error in errors.values()) else PublishRefused
    more = f" It did not accept {len(errors) - 1} others either." if len(errors) > 1 else ""
    return kind(first.message + more, tuple(errors))
