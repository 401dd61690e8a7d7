"""A durable queue of texts: publish to it, or work on what comes."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from typing import TYPE_CHECKING

from kombu.utils.uuid import uuid

from proj import queues
from proj.errors import InvalidMessage, InvalidSetting, ProjError
from proj.messaging import options
from proj.messaging.dead_lettering import GIVEN_OUT_LIMIT, bury, times_given_out
from proj.messaging.handler import Handling
from proj.messaging.poison_pill import Halting
from proj.messaging.publisher import Publisher
from proj.messaging.reconnection import Reconnection
from proj.messaging.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from proj.messaging.message import Message

logger = logging.getLogger(__name__)

#: Seconds between two looks whether to stop.
TICK_S = 0.2
#: Seconds between two looks whether to begin.
LOOK_S = 0.02


class MessageQueue:
    """A queue by its name. Nothing is connected before it is used; `publish` and `stop` may be called by any thread."""

    def __init__(
        self,
        name: str,
        url: str | None = None,
        *,
        queue_type: str | None = None,
        prefetch: int = 1,
        attempts: int = 3,
        pill: str | None = None,
        timeout_s: float | None = 90.0,
        heartbeat_s: float = 10.0,
    ) -> None:
        """Name the queue, which is made when it is first used and there is none.

        Args:
            name: of the queue.
            url: of the broker; CELERY_BROKER_URL unless said.
            queue_type: quorum or classic; PROJ_QUEUE_TYPE unless said.
            prefetch: unacknowledged messages that a consumer is given at a time, 0 without limit. One is fair: who
                is busy gets nothing, and whoever is free gets the next message.
            attempts: how often the handler is tried with a message before that becomes a dead letter. A loop over the
                queue has no handler, and this says nothing to it.
            pill: the text that ends all consumers of the queue, when they were given the same; None for no such text.
                That of `Consumer` and `Worker` is 'HALT' unless said.
            timeout_s: seconds until a publish that is not confirmed is given up; None is never.
            heartbeat_s: seconds, 1 or more; a dead connection is noticed in two of these. 0 is without heartbeats.

        Raises:
            InvalidSetting: one of them, or of the variables, is not as it must be.
        """
        self.name = options.name(name)
        self.pill = options.pill(pill)
        self._url = options.url(url)
        self._queue = queues.work_queue(options.queue_type(queue_type), name)
        self._prefetch = options.prefetch(prefetch)
        self._attempts = options.attempts(attempts)
        self._heartbeat_s = options.heartbeat_s(heartbeat_s)
        self._publisher = Publisher(self._url, timeout_s=options.timeout_s(timeout_s))
        self._handling: Handling | None = None
        self._when_last: Callable[[], None] = _nothing
        #: Asked when it consumes, until it says yes, before the first message is worked on; see `launch`.
        self.may_begin: Callable[[], bool] = _at_once
        # No threading.Event: a signal handler that sets one while its thread is inside it would wait for ever.
        self._stopping = False
        self._subscriptions: list[Subscription] = []

    # --- Publishing -----------------------------------------------------------------------------------

    def publish(self, text: str) -> None:
        """Publish a text, and return when the broker has it on disk. It is tried again through a restart of the broker.

        Raises:
            InvalidMessage: it is no text, or none that UTF-8 can write.
            NoBroker: there is no broker.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker will not have it; `QueueFull` when it may later.
            Unconfirmed: the deadline has passed; the broker may or may not have it.
        """
        try:
            body = text.encode()
        except (AttributeError, UnicodeEncodeError):
            raise InvalidMessage(f"The message {text!r} is not a text that UTF-8 can write.") from None
        try:
            self._publisher.publish(
                body,
                queue=self._queue,
                subject=f"message {text[:80]!r} for queue {self.name!r}",
                message_id=uuid(),
                content_type="text/plain",
                content_encoding="utf-8",
            )
        except ProjError as error:
            # What the broker said is in its sentence, and the way of it through here is nothing to the caller.
            raise error.with_traceback(None) from None

    def halt(self) -> None:
        """Publish the pill, which ends every consumer of the queue when all earlier work is done.

        Raises:
            InvalidSetting: the queue was given no pill.
            and what `publish` raises.
        """
        if self.pill is None:
            example = f"a text, as in MessageQueue({self.name!r}, pill='HALT')"
            raise InvalidSetting(f"The pill of the queue {self.name!r}", None, example)
        self.publish(self.pill)

    def declare(self) -> None:
        """Make the queue now when there is none.

        Raises:
            NoBroker, QueueMismatch, PublishRefused, Unconfirmed: as `publish`.
        """
        try:
            self._publisher.declare(self._queue)
        except ProjError as error:
            raise error.with_traceback(None) from None  # as `publish`

    # --- Consuming ------------------------------------------------------------------------------------

    def register(
        self,
        handler: Callable[[Message], object],
        *,
        acknowledge: bool = True,
        when_last: Callable[[], None] | None = None,
    ) -> None:
        """Let `start` call `handler` with each message.

        Args:
            handler: does the work. When it raises, it is tried again, after half a second and then less and less
                often; after `attempts` the message is a dead letter with the reason. What it raises of `NoBroker`,
                `QueueFull` and `Unconfirmed` is not counted: the next queue fails, not the message.
            acknowledge: whether a message is acknowledged when its handler has returned. Without it the handler does
                so by `message.ack()`, and what it forgets is given out again when this consumer has gone.
            when_last: called when the pill has come and no other consumer is left, before it is acknowledged; again
                while it raises `NoBroker`, `QueueFull` or `Unconfirmed`. What else it raises, `start` raises.

        Raises:
            InvalidSetting: the handler cannot be called: every message would become a dead letter by it.
        """
        if not callable(handler):
            raise InvalidSetting(f"The handler of the queue {self.name!r}", handler, "a function of one message")
        self._handling = Handling(
            handler,
            queue=self.name,
            publisher=self._publisher,
            attempts=self._attempts,
            acknowledge=acknowledge,
            pause=self._pause,
        )
        self._when_last = when_last or _nothing

    def start(self) -> None:
        """Work on messages until `stop`, or until the pill comes; it waits for a broker that is away.

        Raises:
            NoBroker: the broker refuses the login.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker does not let us consume.
            KeyboardInterrupt: and all else that a handler raises which is no `Exception`; the message goes back.
        """
        if self._handling is None:
            raise RuntimeError(f"No handler is registered for the queue {self.name!r}.")
        with closing(self._messages()) as messages:
            for message in messages:
                self._handling.do(message)

    def stop(self) -> None:
        """Let `start`, or the loop over this queue, end when the message in hand is done; what is held goes back.

        From a handler, another thread or a signal handler; returns at once. When nothing runs, what is started next
        ends at once.
        """
        self._stopping = True

    def forget_stop(self) -> None:
        """Forget a `stop` that came when nothing ran any more."""
        self._stopping = False

    def __iter__(self) -> Iterator[Message]:
        """Each message as it comes; the one before is acknowledged when the next is asked for.

        `stop` ends the loop in order: the message in hand is acknowledged. One whose loop ends by `break` or by an
        error goes back to the queue, and is not tried again here: `attempts` is for handlers. As `start` in all else.
        """
        with closing(self._messages()) as messages:
            for message in messages:
                yield message
                message.ack()

    def close(self) -> None:
        """Disconnect: what is held goes back. Whatever is used after that connects again."""
        for subscription in tuple(self._subscriptions):
            subscription.close()
        self._publisher.close()

    def __enter__(self) -> Self:
        """Itself; nothing is connected yet."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect."""
        self.close()

    # --- How ------------------------------------------------------------------------------------------

    def _messages(self) -> Generator[Message, None, None]:
        """Every message but the pill, and but those that nobody gets done, over as many connections as it takes."""
        connections = Reconnection(self._subscription, name=self.name, held=self._subscriptions, pause=self._pause)
        halting = Halting(connections, renew=self.halt, when_last=self._when_last, pause=self._pause)
        try:
            with closing(self._deliveries(connections)) as deliveries:
                for subscription, message in deliveries:
                    if self._is_pill(message):
                        logger.info("The queue %r halts its consumer.", self.name)
                        if halting.end(subscription, message):
                            return
                    elif (times := times_given_out(message)) >= GIVEN_OUT_LIMIT:
                        why = (
                            f"It was given out {times} times and never acknowledged, as by consumers that died with it."
                        )
                        bury(message, why, attempts=times, queue=self.name, publisher=self._publisher)
                    else:
                        yield message
        finally:
            self._stopping = False

    def _deliveries(self, connections: Reconnection) -> Generator[tuple[Subscription, Message], None, None]:
        """Everything that comes, and where it comes from."""
        while not self._stopping:
            try:
                with connections.next() as subscription:
                    if subscription is None:
                        continue
                    while not self.may_begin() and self._pause(LOOK_S):
                        pass
                    while not self._stopping:
                        message = subscription.next(TICK_S)
                        if message is not None:
                            yield subscription, message
            except ProjError as error:
                raise error.with_traceback(None) from None  # as `publish`

    def _subscription(self) -> Subscription:
        return Subscription(self._url, self._queue, prefetch=self._prefetch, heartbeat_s=self._heartbeat_s)

    def _is_pill(self, message: Message) -> bool:
        return self.pill is not None and message.body == self.pill.encode()

    def _pause(self, seconds: float) -> bool:
        """Wait, but not when it is to stop; whether to go on."""
        end = time.monotonic() + seconds
        while not self._stopping and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, TICK_S))
        return not self._stopping


def _nothing() -> None:
    """Nothing follows."""


def _at_once() -> bool:
    """Nobody is waited for."""
    return True
