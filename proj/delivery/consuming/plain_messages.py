"""Plain messages: converts a message of any AMQP client to a task message, with its body as the only argument."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.utils.saferepr import saferepr
from kombu.serialization import prepare_accept_content
from kombu.utils.json import loads

from proj.delivery.header_names import BROKER_COUNTS
from proj.delivery.validation.message import Kind, Refusal, unfit
from proj.errors import InvalidConfiguration
from proj.journal.generated_ids import generated_id
from proj.printable import shown

if TYPE_CHECKING:
    from collections.abc import Collection

    from kombu.message import Message

    from proj.delivery.validation.limits import Limits

JSON = "application/json"
#: Content types that clients give to a text, besides text/….
_TEXT_TYPES = frozenset({"", "application/octet-stream", "application/data", "application/text"})
_EMBED = json.dumps({"callbacks": None, "errbacks": None, "chain": None, "chord": None})
#: Bytes of a task's id: `message_id` is an AMQP short string.
_LONGEST_ID_BYTES = 255
#: Characters of the printed argument in logs and events, as Celery's producers cut it.
_LONGEST_REPR = 1024


@dataclass(frozen=True, kw_only=True)
class TaskMessage:
    """What Celery reads in place of a plain message: protocol 2, in JSON and UTF-8."""

    id: str
    headers: dict[str, Any]
    body: bytes

    def replace(self, message: Message) -> None:
        """Make `message` this task message; its copies have the body and properties that it came with, and the id."""
        received: Any = message
        received.properties = {**message.properties, "message_id": self.id}
        received.headers, received.body = self.headers, self.body
        received.content_type, received.content_encoding = JSON, "utf-8"


def tasks_for_plain_messages(value: object, *, tasks: Collection[str], accepted: Collection[str]) -> Mapping[str, str]:
    """The setting `proj_adopt`, checked: by the name of a queue, the task that runs its plain messages.

    Raises:
        InvalidConfiguration: it is no such table, it names a task that is not in `tasks`, or the `accepted` content
            types lack JSON.
    """
    if not value:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) and text for item in value.items() for text in item
    ):
        raise InvalidConfiguration(
            f"proj_adopt is {shown(value)}, but must be a table from names of queues to names of tasks."
        )
    for queue, task in value.items():
        if task not in tasks:
            raise InvalidConfiguration(
                f"proj_adopt gives the plain messages of {queue!r} to {task!r}, but no such task is registered here."
            )
    if JSON not in (prepare_accept_content(accepted) or ()):
        raise InvalidConfiguration(
            f"proj_adopt makes plain messages JSON, which accept_content ({shown(list(accepted))}) must allow."
        )
    return value


def convert(
    message: Message, *, task: str, limits: Limits, body_error: BaseException | None = None
) -> TaskMessage | Refusal | None:
    """The plain message as a message for `task`, or why its body cannot be an argument.

    None for a message that names a task, and for a content type that is neither text nor JSON: such a message is
    inspected as any other.
    """
    if "task" in message.headers or unfit(message, limits, body_error) is not None:
        return None
    kind = str(message.content_type or "").partition(";")[0].strip().lower()
    if kind != JSON and kind not in _TEXT_TYPES and not kind.startswith("text/"):
        return None
    body: Any = message.body
    try:
        text = body if isinstance(body, str) else bytes(body or b"").decode()
        argument = loads(text) if kind == JSON else text
        if kind == JSON and isinstance(argument, Mapping) and "task" in argument:
            # A message of Celery's protocol 1.
            return None
        # JSON stays as it was written.
        written = text if kind == JSON else json.dumps(text, ensure_ascii=False)
        return _task_message(message, task, argument, f"[[{written}], {{}}, {_EMBED}]".encode())
    except Exception as error:  # noqa: BLE001 a decoder raises anything
        what = JSON if kind == JSON else "a text"
        return Refusal(f"Its body cannot be decoded as {what}: {shown(error)}.", Kind.UNDECODABLE)


def _task_message(message: Message, task: str, argument: object, body: bytes) -> TaskMessage:
    given: object = message.properties.get("message_id")
    if isinstance(given, str) and given.isprintable() and 0 < len(given.encode()) <= _LONGEST_ID_BYTES:
        task_id = given
    else:
        task_id = generated_id(redelivered=bool(message.delivery_info.get("redelivered")))
    # The client's own headers may not pass for Celery's. The task finds them in `self.request.properties`.
    kept = {
        name: value
        for name, value in message.headers.items()
        if str(name).startswith("x-proj-") or name in BROKER_COUNTS
    }
    headers = {
        **kept,
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "parent_id": None,
        "group": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": saferepr((argument,), _LONGEST_REPR),
        "kwargsrepr": "{}",
    }
    return TaskMessage(id=task_id, headers=headers, body=body)
