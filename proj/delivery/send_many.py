"""Many tasks at once, each confirmed, without waiting for each confirm."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from celery.app import app_or_default

from proj.delivery.publishing.amqp import Confirming
from proj.delivery.publishing.in_flight import Window
from proj.delivery.publishing.in_flight_producer import WindowProducer
from proj.delivery.publishing.reply_queue import declared_seldom
from proj.delivery.settings import setting
from proj.errors import ProjError, PublishRefused, Unroutable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from celery import Celery
    from celery.canvas import Signature

    from proj.delivery.publishing.producer_pool import ConfirmingPool

T = TypeVar("T")
#: Messages on their way at a time: more bring no more speed over loopback, and each may be sent twice.
IN_FLIGHT = 1000
#: Seconds between two reports of progress.
PROGRESS_EVERY_S = 0.1


@dataclass(frozen=True)
class Progress:
    """How far it is."""

    #: Tasks that the broker has.
    confirmed: int
    #: Written, or about to be written, and not confirmed yet.
    in_flight: int
    #: How often a task was written again after the connection was lost; only these can be there twice.
    republished: int
    #: How often the broker refused one for the moment, since a queue was full.
    nacked: int
    #: Tasks that the broker will not have.
    refused: int
    seconds: float


def send_many(
    signatures: Iterable[Signature],
    *,
    app: Celery | None = None,
    in_flight: int = IN_FLIGHT,
    timeout_s: float | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_confirmed: Callable[[str], None] | None = None,
) -> Progress:
    """Send every task, and return when the broker has confirmed each.

    Args:
        signatures: tasks such as `work.s("hello.")`, or chains and groups of them. They are taken one by one, never
            more than `in_flight` ahead of the confirms, so that a generator of a million needs no more memory than one
            of a thousand.
        app: the app that sends; the current one unless said. It needs `confirm_publishing`.
        in_flight: how many may be on their way at a time.
        timeout_s: seconds without any progress until it is given up, also when a queue is full; `math.inf` is for ever,
            and `proj_publish_timeout_s` holds unless something is said.
        on_progress: called now and then, and at the end.
        on_confirmed: called with the id of each task as soon as the broker has it, in no certain order. Once it or
            `on_progress` has raised, no more tasks are taken, and neither is called again.

    Raises:
        Unconfirmed: the deadline has passed; its `task_ids` are those of which nobody knows.
        QueueFull: the deadline has passed; the broker has all others, and not those in `task_ids`: a queue was full.
        PublishRefused: the broker has all others, and will not have those in `task_ids`; `Unroutable` when no queue
            takes any of these.
        Exception: what `signatures`, a task's own check, `on_progress` or `on_confirmed` raised, after all tasks that
            were taken before it were confirmed.

    After a broken connection exactly those are written again that were not confirmed. Signals are Celery's own:
    `after_task_publish` is sent when a task is written. A task's `task-sent` event goes with those of others.
    """
    app = app_or_default(app)
    if not isinstance(app.amqp, Confirming):
        raise ProjError(f"The app {app.main!r} does not confirm what it publishes: call confirm_publishing(app) first.")
    pool: ConfirmingPool = app.producer_pool
    with pool.acquire(block=True) as pooled:
        window = Window(
            pooled,
            timeout_s=setting(app, "proj_publish_timeout_s") if timeout_s is None else timeout_s,
        )
        producer = WindowProducer(pooled, window, event_exchange=app.conf.event_exchange)
        report = _Reporter(window, on_progress, on_confirmed)
        try:
            with declared_seldom(app.backend):
                _send(signatures, pool=pool, producer=producer, window=window, in_flight=in_flight, report=report)
        finally:
            window.close()
            report.confirmed()
    if window.refused:
        raise _refused(window.refused)
    return report.progress()


def _send(
    signatures: Iterable[Signature],
    *,
    pool: ConfirmingPool,
    producer: WindowProducer,
    window: Window,
    in_flight: int,
    report: _Reporter,
) -> None:
    failure: Exception | None = None
    try:
        left_at = time.monotonic()
        for signature in signatures:
            window.excuse(time.monotonic() - left_at)
            with pool.lending(producer):
                signature.apply_async(producer=producer)
            while len(window) >= in_flight:
                window.wait()
                report.now_and_then()
            report.now_and_then()
            if report.failure is not None:
                break
            left_at = time.monotonic()
    except Exception as error:
        if window.given_up:
            raise
        failure = error
    producer.send_events()
    while len(window):
        window.wait()
        report.now_and_then()
    report.at_last()
    failure = failure or report.failure
    if failure is not None:
        raise failure


class _Reporter:
    """Tells the caller what is confirmed, and not too often how far it is."""

    def __init__(
        self,
        window: Window,
        on_progress: Callable[[Progress], None] | None,
        on_confirmed: Callable[[str], None] | None,
    ) -> None:
        self._window = window
        self._on_progress = on_progress
        self._on_confirmed = on_confirmed
        self._begun = self._told_at = time.monotonic()
        #: What the caller raised when it was told; it is told no more.
        self.failure: Exception | None = None

    def progress(self) -> Progress:
        window = self._window
        return Progress(
            confirmed=window.confirmed,
            in_flight=len(window),
            republished=window.republished,
            nacked=window.nacked,
            refused=len(window.refused),
            seconds=time.monotonic() - self._begun,
        )

    def now_and_then(self) -> None:
        self.confirmed()
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S:
            self.at_last()

    def at_last(self) -> None:
        self.confirmed()
        self._told_at = time.monotonic()
        self._tell(self._on_progress, self.progress())

    def confirmed(self) -> None:
        for task_id in self._window.take_news():
            self._tell(self._on_confirmed, task_id)

    def _tell(self, listener: Callable[[T], None] | None, news: T) -> None:
        if listener is None or self.failure is not None:
            return
        begun = time.monotonic()
        try:
            listener(news)
        except Exception as error:  # noqa: BLE001 whatever it is, it is raised when all that was taken is confirmed
            self.failure = error
        # A pipe that is read slowly, for example.
        self._window.excuse(time.monotonic() - begun)


def _refused(errors: dict[str, PublishRefused]) -> PublishRefused:
    """One error for all; its sentence has the first."""
    first = next(iter(errors.values()))
    kind = Unroutable if all(isinstance(error, Unroutable) for error in errors.values()) else PublishRefused
    more = f" So were {len(errors) - 1} others not." if len(errors) > 1 else ""
    return kind(first.message + more, tuple(errors))
