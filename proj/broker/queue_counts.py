"""Queue counts over the connection of a worker's loop, which may not wait for an answer."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import amqp
from amqp import spec
from amqp.exceptions import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    import kombu

    class _Channel(amqp.Channel):
        """py-amqp's channel, with names that celery-types lacks."""

        _callbacks: dict[tuple[int, int], Callable[..., object]]

        def _setup_listeners(self) -> None: ...

else:
    _Channel = amqp.Channel


class QueueCount(NamedTuple):
    """What the broker says of a queue."""

    #: Messages that are ready.
    messages: int
    consumers: int


Answer: TypeAlias = "Callable[[QueueCount | None], object]"


def count_soon(connection: kombu.Connection | None, name: str, answer: Answer) -> None:
    """Ask for the counts of a queue, and return at once; does nothing when the connection is lost.

    `answer` gets them, or None when there is no such queue. It is called while a frame is read, so it must not read
    from the connection. It is never called when the connection is lost meanwhile, or the broker refuses to tell.

    Raises:
        OSError: the connection is lost now.
    """
    if connection is not None and connection.connected:
        CountChannel.of_connection(connection.connection).ask(name, answer)


class CountChannel(_Channel):
    """A channel of a connection whose frames somebody else reads; the answers come while they are read."""

    def __init__(self, connection: amqp.Connection) -> None:
        """Open a channel of the connection; use `of_connection` instead."""
        super().__init__(connection)
        #: The questions without an answer, the oldest first.
        self._asked: deque[tuple[str, Answer]] = deque()
        # As py-amqp's `open`, but the broker handles what follows in order, so nothing has to wait for the answer.
        self.send_method(spec.Channel.Open, "s", ("",))

    @classmethod
    def of_connection(cls, connection: amqp.Connection) -> CountChannel:
        """The only such channel of py-amqp's connection, a new one when the broker has closed it."""
        kept = vars(connection)
        channel: CountChannel | None = kept.get("proj_count_channel")
        if channel is None or channel.connection is None:
            channel = kept["proj_count_channel"] = cls(connection)
        return channel

    @property
    def is_asking(self) -> bool:
        """Whether an answer is to come."""
        return bool(self._asked)

    def ask(self, name: str, answer: Answer) -> None:
        """As `count_soon`."""
        self.send_method(spec.Queue.Declare, "BsbbbbbF", (0, name, True, False, False, False, False, None))
        self._asked.append((name, answer))

    def _setup_listeners(self) -> None:
        super()._setup_listeners()
        self._callbacks[spec.Queue.DeclareOk] = self._on_declare_ok

    def _on_declare_ok(self, _name: str, messages: int, consumers: int) -> None:
        _name, answer = self._asked.popleft()
        answer(QueueCount(messages, consumers))

    def _on_close(self, reply_code: int, _text: str, _class_id: int, _method_id: int) -> None:
        """Take the broker's refusal for an answer, which py-amqp would raise in the loop, and ask the rest again."""
        connection = self.connection
        asked, self._asked = self._asked, deque()
        self.send_method(spec.Channel.CloseOk)
        self.collect()
        if asked:
            _name, answer = asked.popleft()
            if reply_code == NotFound.code:
                answer(None)
            for name, later in asked:
                self.of_connection(connection).ask(name, later)
