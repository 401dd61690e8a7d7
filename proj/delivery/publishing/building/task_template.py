"""A template for the messages of one task, which differ in their id and their arguments only.

Most of the time that Celery needs to build a message, it looks up and encodes what is the same in each.
"""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass
from struct import pack
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message
from amqp.serialization import decode_properties_basic, dumps
from kombu import serialization
from kombu.utils import json as kombu_json

from proj.delivery.publishing.encoded_message import EncodedMessage, encode
from proj.delivery.serializers import encoded_properties, encoders

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kombu import Exchange, Queue

    from proj.delivery.publishing.outgoing_message import OutgoingMessage

#: Headers that differ from message to message.
_VARYING = frozenset({"id", "root_id", "argsrepr", "kwargsrepr"})
#: Properties on both sides of those that differ, in the order in which AMQP writes them.
#: Source: https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, 1.8.3 (class basic)
_FIRST, _MIDDLE = ("content_type", "content_encoding"), ("delivery_mode", "priority")
_LAST = ("reply_to", "timestamp", "type", "user_id", "app_id", "cluster_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """What differs between two messages of one task."""

    task_id: str
    args: Sequence[object]
    kwargs: Mapping[str, object]
    argsrepr: str
    kwargsrepr: str


@dataclass(frozen=True, kw_only=True)
class Built:
    """A message that Celery has built, and how it was published."""

    outgoing: OutgoingMessage
    serializer: str | None
    declare: Sequence[Exchange | Queue]
    #: The body as it was given to the serializer.
    body: Any
    #: The fields of its `task-sent` event; None when there is none.
    event: Mapping[str, object] | None = None


class TaskTemplate:
    """Makes the messages of one task as Celery makes them."""

    def __init__(self, built: Built, task_id: str) -> None:
        """Take from one message what is the same in all.

        Raises:
            ValueError: the message is of another kind.
            PublishRefused: it cannot be published.
        """
        outgoing = built.outgoing
        # A number that RabbitMQ cannot read would be in each message.
        encode(outgoing, frame_max=0)
        properties = dict(outgoing.message.properties)
        self._headers = dict(properties.pop("application_headers", None) or {})
        if properties.pop("correlation_id", None) != task_id or not self._headers.keys() >= _VARYING:
            raise ValueError("It is no message of Celery's protocol 2.")
        if "expiration" in properties or "message_id" in properties:
            raise ValueError("It has a property that may differ.")
        _args, _kwargs, self._embed = built.body
        self.exchange, self.routing_key, self.mandatory = outgoing.exchange, outgoing.routing_key, outgoing.mandatory
        self.declare = tuple(built.declare)
        #: What kombu keeps of these on a connection where they were declared; None when it keeps nothing of one.
        self.declared = _hashes(self.declare)
        self._serializer = built.serializer
        self._is_json = _is_kombus_json(built.serializer)
        self._embed_json = json.dumps(self._embed) if self._is_json else ""
        self._event = built.event
        self._encoding = str(properties.get("content_encoding"))
        fixed = {name: value for name, value in self._headers.items() if name not in _VARYING}
        # Without the table's length, which is written last. A table has no order.
        self._table = dumps("F", (fixed,))[4:]
        flags = encoded_properties(Message(**{**properties, "application_headers": {}, "correlation_id": ""}))[:2]
        self._first = flags + _encoded(properties, _FIRST)
        self._middle, self._last = _encoded(properties, _MIDDLE), _encoded(properties, _LAST)

    def make(self, call: Call) -> EncodedMessage:
        """The message of the call.

        Raises:
            ValueError: its id is longer than 255 bytes, or an argument cannot be encoded.
        """
        body = self._body(call)
        task_id = call.task_id.encode("utf-8", "surrogatepass")
        argsrepr, kwargsrepr = (text.encode("utf-8", "surrogatepass") for text in (call.argsrepr, call.kwargsrepr))
        table = b"".join(
            (
                self._table,
                *(b"\x02idS", pack(">I", len(task_id)), task_id),
                *(b"\x07root_idS", pack(">I", len(task_id)), task_id),
                *(b"\x08argsreprS", pack(">I", len(argsrepr)), argsrepr),
                *(b"\x0akwargsreprS", pack(">I", len(kwargsrepr)), kwargsrepr),
            )
        )
        short = (bytes((len(task_id),)), task_id)
        encoded = b"".join((self._first, pack(">I", len(table)), table, self._middle, *short, self._last))
        return EncodedMessage(body, encoded, {"correlation_id": call.task_id, "content_encoding": self._encoding})

    def _body(self, call: Call) -> bytes | str:
        if self._is_json:
            try:
                # As kombu's encoder, which is asked for values that JSON does not have, and costs twice as much.
                kwargs = json.dumps(call.kwargs) if call.kwargs else "{}"
                return f"[{json.dumps(call.args)}, {kwargs}, {self._embed_json}]"
            except TypeError:
                pass
        _type, _encoding, body = serialization.dumps((call.args, call.kwargs, self._embed), self._serializer)
        return body

    def headers(self, call: Call) -> dict[str, object]:
        """The headers of the call's message."""
        headers: dict[str, object] = deepcopy(self._headers)
        headers.update(id=call.task_id, root_id=call.task_id, argsrepr=call.argsrepr, kwargsrepr=call.kwargsrepr)
        return headers

    def body(self, call: Call) -> tuple[Sequence[object], Mapping[str, object], dict[str, object]]:
        """The body of the call's message, not encoded."""
        return call.args, call.kwargs, deepcopy(self._embed)

    def event(self, call: Call) -> dict[str, object] | None:
        """The fields of the `task-sent` event of the call; None when there is none."""
        if self._event is None:
            return None
        varying = {"uuid": call.task_id, "root_id": call.task_id, "args": call.argsrepr, "kwargs": call.kwargsrepr}
        return {**self._event, **varying}

    def makes(self, built: Built, call: Call) -> bool:
        """Whether it would make for the call what Celery has built."""
        outgoing, made = built.outgoing, self.make(call)
        theirs, ours = (decode_properties_basic(encoded_properties(one), 0) for one in (outgoing.message, made))
        return (
            (outgoing.exchange, outgoing.routing_key, outgoing.mandatory, tuple(built.declare), outgoing.message.body)
            == (self.exchange, self.routing_key, self.mandatory, self.declare, made.body)
            and theirs == ours
            and built.event == self.event(call)
        )


def _hashes(entities: Sequence[Exchange | Queue]) -> frozenset[int] | None:
    if all(entity.can_cache_declaration for entity in entities):
        return frozenset(map(hash, entities))
    return None


def _is_kombus_json(serializer: str | None) -> bool:
    found = encoders.get(serializer or "")
    return found is not None and found.encoder is kombu_json.dumps


def _encoded(properties: Mapping[str, Any], names: Collection[str]) -> bytes:
    some = {name: value for name, value in properties.items() if name in names}
    # Without the flags, which are those of all properties.
    return encoded_properties(Message(**some))[2:]
