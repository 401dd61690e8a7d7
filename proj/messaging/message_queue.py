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
from proj.messaging.dead_lettering import REDELIVERY_LIMIT, dead_letter, redelivery_count
from proj.messaging.handler import Handler
from proj.messaging.poison_pill import PoisonPill
from proj.messaging.publisher import Publisher
from proj.messaging.reconnection import Reconnection
from proj.messaging.subscription import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    from typing_extensions import Self

    from proj.messaging.message import Message

logger = logging.getLogger(__name__)

#: Seconds between two checks whether to stop.
TICK_S = 0.2
#: Seconds between two checks whether the first message may be worked on.
LOOK_S = 0.02


class MessageQueue:
    """A queue by its name. It connects when it is first used; any thread may call `publish` and `stop`."""

    def __init__(  # noqa: PLR0913 keyword-only, each with a default
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
        declare: bool = True,
    ) -> None:
        """Name the queue, which is declared when it is first used.

        Args:
            name: of the queue.
            url: of the broker; by default CELERY_BROKER_URL.
            queue_type: quorum or classic; by default PROJ_QUEUE_TYPE.
            prefetch: unacknowledged messages that a consumer gets at a time, 0 without limit. With one, a busy consumer
                gets nothing, and a free one gets the next message.
            attempts: how often the handler is tried with a message before the message becomes a dead letter. A loop
                over the queue has no handler and ignores this.
            pill: the text that ends all consumers of the queue that have the same pill; None for no such text. The
                default of `Consumer` and `Worker` is 'HALT'.
            timeout_s: seconds until an unconfirmed publish is given up; None is never.
            heartbeat_s: seconds, 1 or more; a dead connection is noticed in two of them. 0 is without heartbeats.
            declare: whether the queue, and that of its dead letters, are declared. With False somebody else makes
                them, so the user needs no permission to configure.

        Raises:
            InvalidSetting: an argument or an environment variable has a value that is not allowed.
        """
        self.name = options.name(name)
        self.pill = options.pill(pill)
        self._url = options.url(url)
        self._queue = queues.work_queue(options.queue_type(queue_type), name)
        self._prefetch = options.prefetch(prefetch)
        self._attempts = options.attempts(attempts)
        self._heartbeat_s = options.heartbeat_s(heartbeat_s)
        self._declares = options.declare(declare)
        self._publisher = Publisher(self._url, timeout_s=options.timeout_s(timeout_s), declares=self._declares)
        self._handler: Handler | None = None
        self._when_last: Callable[[], None] = _do_nothing
        #: Asked before the first message is worked on, until it returns True; see `launch`.
        self.may_begin: Callable[[], bool] = _at_once
        # Not a threading.Event: a signal handler that sets it while its own thread is inside it would wait for ever.
        self._stopping = False
        self._subscriptions: list[Subscription] = []

    # --- Publishing -----------------------------------------------------------------------------------

    def publish(self, text: str) -> None:
        """Publish a text, and return when the broker has it on disk. It survives a restart of the broker meanwhile.

        Raises:
            InvalidMessage: it is not a text that UTF-8 can write.
            NoBroker: no broker answers.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker will never accept it; `QueueFull` when it may accept it later, `Unroutable` when
                there is no such queue and it is not declared.
            Unconfirmed: the deadline has passed; the broker may have it or not.
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
            # The error has the broker's text; the frames in our own code do not help the caller.
            raise error.with_traceback(None) from None

    def halt(self) -> None:
        """Publish the pill, which ends every consumer of the queue when all earlier work is done.

        Raises:
            InvalidSetting: the queue has no pill.
            NoBroker, QueueMismatch, PublishRefused, Unconfirmed: as `publish`.
        """
        if self.pill is None:
            example = f"a text, as in MessageQueue({self.name!r}, pill='HALT')"
            raise InvalidSetting(f"The pill of the queue {self.name!r}", None, example)
        self.publish(self.pill)

    def declare(self) -> None:
        """Declare the queue now; where queues are not declared, ask whether there is one.

        Raises:
            Unroutable: there is none, and it is not declared.
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
            handler: works on one message. When it raises, it is tried again, after half a second and then after longer
                and longer pauses; after `attempts` the message becomes a dead letter with the reason. `NoBroker`,
                `QueueFull` and `Unconfirmed` are not counted, because the next queue fails and not the message.
            acknowledge: whether a message is acknowledged when its handler has returned. Otherwise the handler calls
                `message.ack()`; a message that it forgets is delivered again when this consumer has ended.
            when_last: called when the pill has come and no other consumer is left, before the pill is acknowledged. It
                is called again while it raises `NoBroker`, `QueueFull` or `Unconfirmed`; `start` raises its other
                errors.

        Raises:
            InvalidSetting: the handler cannot be called, so every message would become a dead letter.
        """
        if not callable(handler):
            raise InvalidSetting(f"The handler of the queue {self.name!r}", handler, "a function of one message")
        self._handler = Handler(
            handler,
            queue=self.name,
            publisher=self._publisher,
            attempts=self._attempts,
            acknowledge=acknowledge,
            pause=self._pause,
        )
        self._when_last = when_last or _do_nothing

    def start(self) -> None:
        """Work on messages until `stop` or the pill; while the broker is away, it connects again and again.

        Raises:
            NoBroker: the broker refuses the login.
            QueueMismatch: the queue exists with other arguments.
            PublishRefused: the broker does not let us consume; `Unroutable` when there is no such queue and it is not
                declared.
            KeyboardInterrupt: or any other `BaseException` of a handler that is no `Exception`; the message is
                requeued.
        """
        if self._handler is None:
            raise RuntimeError(f"No handler is registered for the queue {self.name!r}.")
        with closing(self._messages()) as messages:
            for message in messages:
                self._handler.handle(message)

    def stop(self) -> None:
        """Let `start`, or the loop over this queue, end after the current message; other messages are requeued.

        A handler, another thread or a signal handler may call it; it returns at once. When nothing runs, the next start
        ends at once.
        """
        self._stopping = True

    def forget_stop(self) -> None:
        """Forget a `stop` that came after the consumer had ended."""
        self._stopping = False

    def __iter__(self) -> Iterator[Message]:
        """Each message as it comes; the one before is acknowledged when the loop asks for the next.

        `stop` ends the loop in order: the current message is acknowledged. When the loop ends by `break` or an error,
        the current message is requeued and not tried again here, because `attempts` is for handlers. The rest is as in
        `start`.
        """
        with closing(self._messages()) as messages:
            for message in messages:
                yield message
                message.ack()

    def close(self) -> None:
        """Disconnect: unacknowledged messages are requeued. The next use connects again."""
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
        """The messages to work on, over as many connections as it takes; pills and hopeless messages are handled."""
        connections = Reconnection(
            self._subscription, name=self.name, open_subscriptions=self._subscriptions, pause=self._pause
        )
        pill = PoisonPill(connections, renew=self.halt, when_last=self._when_last, pause=self._pause)
        try:
            with closing(self._deliveries(connections)) as deliveries:
                for subscription, message in deliveries:
                    if self._is_pill(message):
                        logger.info(
                            "A consumer of queue %r has received the poison pill.",
                            self.name,
                            extra={"action": "pill_received"},
                        )
                        if pill.end(subscription, message):
                            return
                    elif (times := redelivery_count(message)) >= REDELIVERY_LIMIT:
                        reason = f"It came back {times} times without an acknowledgement; it may kill its consumers."
                        dead_letter(message, reason, attempts=times, queue=self.name, publisher=self._publisher)
                    else:
                        yield message
        finally:
            self._stopping = False

    def _deliveries(self, connections: Reconnection) -> Generator[tuple[Subscription, Message], None, None]:
        """Every message, with the connection it came from."""
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
        return Subscription(
            self._url,
            self._queue,
            prefetch=self._prefetch,
            heartbeat_s=self._heartbeat_s,
            declares=self._declares,
        )

    def _is_pill(self, message: Message) -> bool:
        return self.pill is not None and message.body == self.pill.encode()

    def _pause(self, seconds: float) -> bool:
        """Wait, but not when the consumer is to stop; whether to go on."""
        end = time.monotonic() + seconds
        while not self._stopping and (left_s := end - time.monotonic()) > 0:
            time.sleep(min(left_s, TICK_S))
        return not self._stopping


def _do_nothing() -> None:
    """Nothing follows the last consumer."""


def _at_once() -> bool:
    """The first message may be worked on at once."""
    return True
