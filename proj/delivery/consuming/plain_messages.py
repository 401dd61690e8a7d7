"""A plain message of any AMQP client as a task's: its body becomes the only argument of its queue's task."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery.utils.saferepr import saferepr
from kombu.serialization import prepare_accept_content
from kombu.utils.json import loads

from proj.delivery.header_names import BROKER_COUNTS
from proj.delivery.printable import shown
from proj.delivery.validation.message import Kind, Refusal, unfit
from proj.errors import InvalidConfiguration
from proj.journal.generated_ids import generated_id

if TYPE_CHECKING:
    from collections.abc import Collection

    from proj.delivery.validation.limits import Limits

JSON = "application/json"
#: What clients call a text when they say nothing better; besides text/….
_TEXT_TYPES = frozenset({"", "application/octet-stream", "application/data", "application/text"})
_EMBED = json.dumps({"callbacks": None, "errbacks": None, "chain": None, "chord": None})
#: Bytes of a task's id; AMQP's short texts, of which `message_id` is one, end there.
_LONGEST_ID_BYTES = 255
#: Characters of the printed argument in logs and events, as Celery's producers cut it.
_LONGEST_REPR = 1024


@dataclass(frozen=True, kw_only=True)
class Adopted:
    """What Celery reads in place of a plain message: protocol 2, in JSON and UTF-8."""

    id: str
    headers: dict[str, Any]
    body: bytes


def adopters(value: object, *, tasks: Collection[str], accepted: Collection[str]) -> Mapping[str, str]:
    """The setting `proj_adopt`, checked: the name of the task that adopts the plain messages of each queue.

    Raises:
        InvalidConfiguration: it is no such table, names a task that is not among `tasks`, or needs JSON, which is not
            among the `accepted` content types.
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
    if JSON not in prepare_accept_content(accepted):  # type: ignore[operator] # unlike celery-types
        raise InvalidConfiguration(
            f"proj_adopt makes plain messages JSON, which accept_content ({shown(list(accepted))}) must allow."
        )
    return value


def adopted(message: Any, *, task: str, limits: Limits) -> Adopted | Refusal | None:  # noqa: ANN401 kombu's message
    """The plain message as one for `task`, or why its body cannot be an argument.

    None when it is not plain, or of a content type that is no text and no JSON: it is then inspected as any other.
    """
    if "task" in message.headers or unfit(message, limits) is not None:
        return None
    kind = str(message.content_type or "").partition(";")[0].strip().lower()
    if kind != JSON and kind not in _TEXT_TYPES and not kind.startswith("text/"):
        return None
    try:
        text = message.body if isinstance(message.body, str) else bytes(message.body or b"").decode()
        argument = loads(text) if kind == JSON else text
        if kind == JSON and isinstance(argument, Mapping) and "task" in argument:
            # Celery's protocol 1.
            return None
        # What was JSON stays as it was written.
        written = text if kind == JSON else json.dumps(text, ensure_ascii=False)
        body = f"[[{written}], {{}}, {_EMBED}]".encode()
        return _task_message(message, task, argument, body)
    except Exception as error:  # noqa: BLE001 a decoder raises what it likes
        what = JSON if kind == JSON else "a text"
        return Refusal(f"Its body cannot be decoded as {what}: {shown(error)}.", Kind.UNDECODABLE)


def _task_message(message: Any, task: str, argument: object, body: bytes) -> Adopted:  # noqa: ANN401 as above
    given = message.properties.get("message_id")
    known = isinstance(given, str) and given.isprintable() and 0 < len(given.encode()) <= _LONGEST_ID_BYTES
    task_id = given if known else generated_id(redelivered=bool(message.delivery_info.get("redelivered")))
    # Of the client's own headers none may pass for one of Celery's; the task finds them in `self.request.properties`.
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
    return Adopted(id=task_id, headers=headers, body=body)
