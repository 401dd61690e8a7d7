"""Dead letters for tests: how to put some into the queue, and to read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from amqp.basic_message import Message

from proj.delivery.dead_letters.headers import dead_letter_headers
from proj.delivery.header_names import BROKER_COUNTS

if TYPE_CHECKING:
    from proj.delivery.dead_letters.queue import DeadLetterQueue


class Read(Protocol):
    """Makes a reader of the app's dead letters, or of those in the queue `name`."""

    def __call__(self, *, name: str | None = None, at_most: int | None = None) -> DeadLetterQueue: ...


WORK = "proj.test.work"
#: Bytes that any client may send as the properties of a message: a content type that is not UTF-8.
BROKEN_CONTENT_TYPE = b"\x80\x00\x02\xff\xfe"


def dead_letter(channel: Any, name: str, queue: str = WORK, body: bytes = b"[[1], {}, {}]", time: float = 1.5) -> None:
    """Put a letter into the dead-letter queue, as a worker does."""
    headers = dead_letter_headers(
        {"id": name, "task": "t.t"}, reason="It was no good.", queue=queue, worker="w@x", time=time, attempts=3
    )
    message = Message(body, application_headers=headers, content_type="application/json", delivery_mode=2)
    channel.basic_publish_confirm(message, exchange="", routing_key="dead_letters")


def ids(read: Read) -> list[str]:
    with read() as letters:
        return [each.letter.id for each in letters]


def uncounted(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties without the broker's counts, which it adds to the headers of what it delivers again."""
    headers = properties["application_headers"]
    kept = {name: value for name, value in headers.items() if name not in BROKER_COUNTS}
    return {**properties, "application_headers": kept}


def take_all(channel: Any, queue: str) -> list[Message]:
    messages = []
    while (message := channel.basic_get(queue, no_ack=True)) is not None:
        messages.append(message)
    return messages


def waiting(channel: Any) -> int:
    """How many letters are ready."""
    count: int = channel.queue_declare("dead_letters", passive=True).message_count
    return count
