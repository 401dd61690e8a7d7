"""Disposition: what a worker does with a message besides running it: refuse, dead-letter or requeue it.

Each publishes a copy with confirm, and acknowledges the message only then.
"""

from __future__ import annotations

import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from celery import signals
from celery.app.task import Context
from celery.exceptions import InvalidTaskError, NotRegistered
from celery.utils.log import get_logger

from proj.delivery import header_names
from proj.delivery.consuming import message_copy
from proj.delivery.consuming.redeliveries import Decision, lost_workers_of_copy
from proj.delivery.dead_letters.app_queues import dead_letter_queue
from proj.delivery.recovery.monitoring_events import count_letter
from proj.delivery.results.attempt import Attempt, set_current_attempt
from proj.delivery.results.backend import ResultBackend
from proj.delivery.validation.message import Contents, Kind, Refusal
from proj.printable import shown
from proj.queues import quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proj.broker.version import BrokerVersion
    from proj.delivery.consuming.consumer import Consumer
    from proj.delivery.consuming.message_copy import MessageCopy
    from proj.delivery.consuming.receiving import KeptMessage
    from proj.delivery.results.attempt import Result

#: Bytes of a task's id in a result and in an event: it travels as an AMQP short string.
_LONGEST_ID = 255

logger = get_logger(__name__)


class Disposition:
    """Moves the messages of one worker's consumer to other queues."""

    def __init__(self, consumer: Consumer) -> None:
        """Publish with the forwarder of `consumer`, and acknowledge on its loop."""
        self._consumer = consumer
        #: Copies that are confirmed, whose originals are to be acknowledged.
        self._confirmed: deque[MessageCopy] = deque()

    def refuse(self, message: KeptMessage, refusal: Refusal, error: Exception | None = None) -> None:
        """Dead-letter the message, record its failure, and send the event and signal that Celery would send."""
        logger.error("Message %s refused: %s", message.label, refusal.reason, extra={"action": "message_refused"})
        contents = message.delivery.contents
        task_id, name = (contents.headers.get("id"), contents.headers.get("task")) if contents else (None, None)
        known = isinstance(task_id, str) and 0 < len(task_id) <= _LONGEST_ID and isinstance(name, str)
        unregistered = refusal.kind is Kind.UNREGISTERED
        failure: Exception = NotRegistered(name) if unregistered else InvalidTaskError(refusal.reason)
        self.dead_letter(
            message,
            refusal.reason,
            then=partial(self._record, contents, message.properties, failure) if known and contents else None,
            ran=False,
        )
        dispatcher = self._consumer.event_dispatcher
        if known and dispatcher:
            dispatcher.send("task-failed", uuid=task_id, exception=repr(failure), traceback="")
        sent = {"sender": self._consumer, "message": message, "exc": error or failure}
        if unregistered:
            signals.task_unknown.send(**sent, name=name, id=task_id)
        else:
            signals.task_rejected.send(**sent)

    def dead_letter(
        self,
        message: KeptMessage,
        reason: str,
        then: Callable[[], None] | None = None,
        *,
        ran: bool | None = None,
    ) -> None:
        """Move the message to the dead-letter queue; `then` is called on the forwarder's thread after the confirm.

        `ran` is whether its task ran, or began to; None when that is not known.
        """
        message.is_moving = True
        # An earlier attempt may have begun it.
        ran = None if ran is False and message.delivery.history.attempts > 1 else ran
        self._consumer.forwarder.send(
            message_copy.letter(
                message,
                dead_letters=dead_letter_queue(self._consumer.app),
                reason=reason,
                worker=self._consumer.hostname,
                time=time.time(),
                ran=ran,
                then=then,
            )
        )

    def fail(self, message: KeptMessage, error: Exception) -> None:
        """Dead-letter a message that Celery failed at before its task ran."""
        self.dead_letter(message, f"It did not run: Celery raised {type(error).__name__}: {shown(error)}.", ran=False)

    def follow(self, message: KeptMessage, decision: Decision) -> None:
        """Do what was decided of a message that is not run here: move it, or dead-letter it."""
        delivery = message.delivery
        if decision is Decision.DEAD_LETTER:
            limit = self._consumer.app.conf.proj_strikes
            reason = f"It killed the main process of its worker {limit} times (proj_strikes) while it ran alone."
            if self._consumer.quarantine.is_own(delivery.queue):
                reason = f"The main process of its worker died {limit} times (proj_strikes) while it held this message."
            self.dead_letter(message, reason)
        elif decision is Decision.RECOUNT:
            logger.info(
                "Message %s was returned to the queue %s for other reasons than a lost worker. A copy at the end of "
                "the queue has a new delivery count.",
                message.label,
                delivery.queue,
                extra={"action": "message_recounted"},
            )
            self.move(message, delivery.queue, {}, ours=delivery.queue != delivery.home)
        else:
            quarantined = decision is Decision.QUARANTINE
            target = quarantine_queue(delivery.queue) if quarantined else delivery.home
            logger.warning(
                "Message %s was redelivered after its worker died (%d lost so far). It is moved to the queue %s.",
                message.label,
                delivery.history.lost_workers,
                target,
                extra={"action": "message_quarantined" if quarantined else "message_requeued"},
            )
            self.move(message, target, {}, ours=quarantined)
            if quarantined:
                self._consumer.quarantine.count_when_moved()

    def requeue(self, message: KeptMessage) -> None:
        """Move the message to the end of its queue, as its task asks; dead-letter it after `proj_requeues` times."""
        requeues = message.delivery.history.requeues
        limit = self._consumer.app.conf.proj_requeues
        if requeues >= limit:
            self.dead_letter(message, f"Its task requeued it {limit} times (proj_requeues) and once more.", ran=True)
        else:
            self.move(message, message.delivery.home, {header_names.REQUEUES: requeues + 1})

    def retry_killer(self, message: KeptMessage, cause: str) -> str | None:
        """Move a message whose task killed its pool process to the end of its queue.

        After `proj_strikes` killed processes it is dead-lettered instead, and the reason is returned.
        """
        killed = message.delivery.history.killed_processes + 1
        limit = self._consumer.app.conf.proj_strikes
        if killed >= limit:
            reason = f"It killed its pool process {killed} times (proj_strikes), last by {cause}."
            self.dead_letter(message, reason, ran=True)
            return reason
        logger.warning(
            "Task %s killed its pool process (%s), %d of %d times (proj_strikes). It is tried again.",
            message.label,
            cause,
            killed,
            limit,
            extra={"action": "pool_process_killed"},
        )
        self.move(message, message.delivery.home, {header_names.STRIKES: killed})
        return None

    def move(self, message: KeptMessage, queue: str, headers: Mapping[str, int], *, ours: bool = False) -> None:
        """Publish a copy to the end of `queue`, which is declared when it is missing and `ours`."""
        lost = {header_names.REDELIVERIES: message.delivery.history.lost_workers}
        message.is_moving = True
        self._consumer.forwarder.send(message_copy.copy(message, queue=queue, headers={**headers, **lost}, ours=ours))

    def give_back(self, message: KeptMessage, *, quorum: bool, version: BrokerVersion) -> None:
        """Put a message that was not run back, so that the next worker does not take this one for lost.

        A copy goes to the end of the queue. Nothing is done where a `basic.nack` does as well.
        """
        lost = lost_workers_of_copy(message.delivery.history, quorum=quorum, version=version)
        if lost is not None:
            message.is_moving = True
            headers = {header_names.REDELIVERIES: lost}
            self._consumer.forwarder.send(
                message_copy.copy(message, queue=message.delivery.queue, headers=headers, ours=False)
            )

    def give_back_unrun(self, message: KeptMessage) -> None:
        """Put a message whose task was not run back into its queue; from any thread."""
        message.is_moving = True

        def give_back() -> None:
            message.is_moving = False
            if message.can_be_settled:
                self._consumer.held.give_back_one(message)

        self._consumer.call_soon(give_back)

    def acknowledge(self, message: KeptMessage) -> None:
        """Acknowledge the message, together with others; at the end of the worker too."""
        self._consumer.acknowledgements.add(message)

    def after_results(self, message: KeptMessage, results: Sequence[Result], settle: Callable[[], None]) -> None:
        """Publish the results of the message's task, and call `settle` when it need not wait for them any more.

        That is when they are confirmed, or lost, or their reply queue did not take them for a while. When the
        connection is lost before, the broker delivers the message again.
        """

        def settled() -> None:
            message.is_moving = False
            if message.can_be_settled:
                settle()

        message.is_moving = True
        self._consumer.results.send(results, settled)

    @property
    def sends_results(self) -> bool:
        """Whether results are published without anybody waiting for them."""
        return self._consumer.results.are_sent

    def send(self, results: Sequence[Result]) -> None:
        """Publish results of a message that does not wait for them."""
        self._consumer.results.send(results, lambda: None)

    def on_confirmed(self, moved: MessageCopy) -> None:
        """Let the original of a confirmed copy be acknowledged on the loop; called on the forwarder's thread."""
        self._confirmed.append(moved)
        self._consumer.call_soon(self.settle)

    def settle(self) -> None:
        """Acknowledge the originals of all confirmed copies."""
        while self._confirmed:
            moved = self._confirmed.popleft()
            if moved.queue == dead_letter_queue(self._consumer.app):
                count_letter(self._consumer.event_dispatcher, moved.original.delivery.home)
            moved.original.ack_log_error(logger, self._consumer.connection_errors)

    def _record(self, contents: Contents, properties: Mapping[str, Any], failure: Exception) -> None:
        """Store the failure in the result backend, for the caller that waits; on the forwarder's thread."""
        where = {name: properties.get(name) for name in ("reply_to", "correlation_id")}
        embed = dict(contents.embed) if isinstance(contents.embed, dict) else {}
        request = Context({**contents.headers, **embed, "args": contents.args, "kwargs": contents.kwargs, **where})
        backend, task_id = self._consumer.app.backend, contents.headers["id"]
        # Over AMQP the sender of results publishes it: where the caller's queue is on a node that is down, this would
        # wait ten seconds, and the next copies with it.
        # At the end of a worker the sender has stopped before the forwarder.
        attempt = Attempt(task_id, hands_over=isinstance(backend, ResultBackend) and self.sends_results)
        set_current_attempt(attempt)
        try:
            backend.mark_as_failure(task_id, failure, request=request)
        finally:
            set_current_attempt(None)
        if attempt.results:
            self._consumer.call_soon(self.send, attempt.results)
