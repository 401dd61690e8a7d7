"""Messages that harm a stock worker, each with a part of the reason that it gets; and odd ones that run."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
import zlib
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from amqp.basic_message import Message

from tests.integration.keeping.conftest import task_message

if TYPE_CHECKING:
    from collections.abc import Callable

TASK = "kept.anything"
EMBED: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


class RawMessage(Message):
    """A message whose table of headers is given as bytes, because py-amqp would not write it."""

    table = b""

    def _serialize_properties(self) -> bytes:
        return struct.pack(">H", 0x2000) + struct.pack(">I", len(self.table)) + self.table


def raw(table: bytes) -> Message:
    message = RawMessage("[]")
    message.table = table
    return message


def body(content: Any, **properties: Any) -> Message:
    """A task's message with these bytes as its body."""
    message = task_message(TASK)
    message.body = content
    message.properties.update(properties)
    return message


def task(**headers: Any) -> Message:
    return task_message(TASK, **headers)


def without(name: str) -> Message:
    message = task_message(TASK)
    del message.headers[name]
    return message


def embedding(**parts: Any) -> Message:
    return task_message(TASK, body=[[], {}, {**EMBED, **parts}])


def protocol_1(**fields: Any) -> Message:
    content = {"task": TASK, "id": "of-protocol-1", "args": [], "kwargs": {}, "retries": 0, **fields}
    return Message(json.dumps(content), content_type="application/json", content_encoding="utf-8")


def compressed(name: str, compress: Callable[[bytes], bytes], content: bytes = b"[[], {}, {}]") -> Message:
    message = body(compress(content))
    message.headers["compression"] = name
    return message


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


#: A header: the length and text of its name, the type of its value and the value. Source: RabbitMQ's AMQP 0-9-1 errata.
_YEAR_292_BILLION = b"\x01tT" + struct.pack(">Q", 2**63)


def _deep_table(levels: int) -> bytes:
    value = b"A\x00\x00\x00\x00"
    for _ in range(levels):
        value = b"A" + struct.pack(">I", len(value)) + value
    return b"\x01d" + value


HOSTILE: dict[str, tuple[Message, str]] = {
    # --- a stock worker's process dies
    "task-a-list": (task_message([1]), "'task'"),
    "id-a-list": (task(id=[1]), "'id'"),
    "timelimit-a-text": (task(timelimit="soon"), "'timelimit'"),
    "timelimit-of-texts": (task(timelimit=["1", "2"]), "'timelimit'"),
    "stamped-headers-a-number": (task(stamped_headers=5), "'stamped_headers'"),
    # --- a stock worker hangs
    "no-id": (without("id"), "no header 'id'"),
    "timelimit-of-one": (task(timelimit=[1]), "'timelimit'"),
    # --- a stock worker acknowledges it and drops it
    "undecodable": (body(b"{not json"), "decoded"),
    "not-utf-8": (body(b"\xff\xfe\x00"), "decoded"),
    "unknown-compression": (compressed("snappy", bytes), "decompressed"),
    "wrong-compression": (compressed("zlib", gzip.compress), "decompressed"),
    "compression-a-list": (compressed(["zlib"], bytes), "decompressed"),  # type: ignore[arg-type] # this is its fault
    # Deeper than any Python's JSON reads: 3.11 gives up at 1,000 levels, 3.13 at 10,000.
    "nested-100000-deep": (body(nested(100_000)), "decoded"),
    "nested-500-deep": (body(b"[[" + nested(500) + b"], {}, {}]"), "nested deeper"),
    "integer-of-5000-digits": (body(b"[[" + b"9" * 5000 + b"], {}, {}]"), "decoded"),
    "kwargs-a-list": (body(b"[[], [], {}]"), "keyword arguments"),
    "embed-a-list": (body(b"[[], {}, []]"), "embed"),
    "too-many-arguments": (task_message("kept.good", 1, 2, 3, 4), "arguments do not fit"),
    # --- a stock worker rejects it
    "unregistered": (task_message("kept.no_such_task"), "No task is registered as 'kept.no_such_task'"),
    "eta-no-time": (task(eta="tomorrow"), "'eta'"),
    "expires-no-time": (task(expires="never"), "'expires'"),
    "eta-in-9999": (task(eta="9999-12-31T23:59:59+00:00"), "'eta'"),
    "eta-in-9999-far-west": (task(eta="9999-12-31T23:59:59-12:00"), "'eta'"),
    # --- other values that Celery does not check
    "expired": (task(expires="2001-01-01T00:00:00+00:00"), "expired"),
    "empty": (Message(""), "names no task"),
    "plain-as-the-tutorials": (Message("hello...", delivery_mode=2), "names no task"),
    "plain-text": (Message("hello...", content_type="text/plain"), "text/plain"),
    "plain-json": (Message('{"x": 1}', content_type="application/json"), "names no task"),
    "pickle": (body(b"\x80\x04.", content_type="application/x-python-serialize"), "does not accept"),
    "unknown-content-type": (body(b"[]", content_type="x/y"), "'x/y'"),
    "no-content-type": (Message("[[], {}, {}]", application_headers={"task": TASK, "id": "1"}), "must be [args"),
    "body-a-number": (body(b"5"), "must be [args"),
    "body-null": (body(b"null"), "must be [args"),
    "body-in-utf-16": (body("\ufeff[5]".encode("utf-16-be"), content_encoding="utf-16"), "must be [args"),
    "body-of-two": (body(b"[[], {}]"), "must be [args"),
    "body-names-args": (body(b'["args", {}, {}]'), "must be a list"),
    "args-a-table": (body(b"[{}, {}, {}]"), "must be a list"),
    "kwargs-null": (body(b"[[], null, {}]"), "keyword arguments"),
    "bad-uuid-in-json": (body(b'[[{"__type__": "uuid", "__value__": "zz"}], {}, {}]'), "decoded"),
    "decompression-bomb": (compressed("zlib", zlib.compress, b" " * (20 * 1024 * 1024)), "proj_largest_bytes"),
    "decompression-bomb-lzma": (compressed("xz", lzma.compress, b" " * (20 * 1024 * 1024)), "proj_largest_bytes"),
    "17-megabytes": (body(b'[["' + b"x" * (17 * 1024 * 1024) + b'"], {}, {}]'), "proj_largest_bytes"),
    "task-null": (task_message(None), "'task'"),
    "task-empty": (task_message(""), "'task'"),
    "task-a-table": (task_message({"a": 1}), "'task'"),
    "id-null": (task(id=None), "'id'"),
    "id-a-number": (task(id=5), "'id'"),
    "id-of-300-characters": (task(id="x" * 300), "'id'"),
    "root-id-a-table": (task(root_id={"a": 1}), "'root_id'"),
    "parent-id-a-list": (task(parent_id=[]), "'parent_id'"),
    "group-a-number": (task(group=5), "'group'"),
    "lang-a-list": (task(lang=["py"]), "'lang'"),
    "meth-a-number": (task(meth=1), "'meth'"),
    "shadow-a-list": (task(shadow=[1]), "'shadow'"),
    "argsrepr-a-number": (task(argsrepr=1), "'argsrepr'"),
    "kwargsrepr-a-list": (task(kwargsrepr=[]), "'kwargsrepr'"),
    "origin-a-table": (task(origin={}), "'origin'"),
    "retries-a-text": (task(retries="many"), "'retries'"),
    "retries-negative": (task(retries=-1), "'retries'"),
    "eta-zero": (task(eta=0), "'eta'"),
    "eta-a-list": (task(eta=[2026]), "'eta'"),
    "eta-empty": (task(eta=""), "'eta'"),
    "eta-false": (task(eta=False), "'eta'"),
    "expires-a-number": (task(expires=5), "'expires'"),
    "expires-before-our-era": (task(expires="0001-01-01T00:00:00+23:59"), "'expires'"),
    "timelimit-negative": (task(timelimit=[-1, None]), "'timelimit'"),
    "timelimit-a-table": (task(timelimit={"a": 1}), "'timelimit'"),
    "ignore-result-a-list": (task(ignore_result=[0]), "'ignore_result'"),
    "nesting-a-text": (task(replaced_task_nesting="x"), "'replaced_task_nesting'"),
    "stamped-headers-of-lists": (task(stamped_headers=[["a"]]), "'stamped_headers'"),
    "stamps-a-list": (task(stamps=[1], stamped_headers=["a"]), "'stamps'"),
    "header-hides-a-method": (task(get="x"), "'get'"),
    "header-named-class": (task(__class__="x"), "'__class__'"),
    "callbacks-a-number": (embedding(callbacks=5), "'callbacks'"),
    "callbacks-of-numbers": (embedding(callbacks=[5]), "'callbacks'"),
    "errbacks-a-text": (embedding(errbacks="x"), "'errbacks'"),
    "chain-a-table": (embedding(chain={"task": "x"}), "'chain'"),
    "chord-a-list": (embedding(chord=[1]), "'chord'"),
    "callbacks-in-the-headers": (task(callbacks=5), "'callbacks'"),
    "embed-hides-the-id": (embedding(id=[1]), "'id'"),
    "protocol-1-without-id": (protocol_1(id=None), "'id'"),
    "protocol-1-args-a-text": (protocol_1(args="abc"), "must be a list"),
    "protocol-1-kwargs-a-list": (protocol_1(kwargs=[]), "keyword arguments"),
    "protocol-1-unregistered": (protocol_1(task="kept.nothing"), "No task is registered"),
    "protocol-1-timelimit": (protocol_1(timelimit=[1]), "'timelimit'"),
    "hybrid-kwargs-a-list": (body(b'{"args": [], "kwargs": []}'), "keyword arguments"),
    # --- py-amqp cannot read the properties
    "header-in-the-year-292-billion": (raw(_YEAR_292_BILLION), "properties cannot be read"),
    "headers-2000-deep": (raw(_deep_table(2000)), "properties cannot be read"),
    "headers-300-deep": (raw(_deep_table(300)), "nested deeper"),
    "reply-to-not-utf-8": (task_message(TASK), "properties cannot be read"),
}
HOSTILE["reply-to-not-utf-8"][0].properties["reply_to"] = b"\xff\xfe"

#: Odd messages that Celery can run.
HARMLESS: dict[str, Message] = {
    "protocol-2": task(),
    "protocol-1": protocol_1(),
    "hybrid": body(b'{"args": [], "kwargs": {}, "id": "of-the-hybrid"}'),
    "gzip": compressed("gzip", zlib.compress),
    "unknown-encoding": body(b"[[], {}, {}]", content_encoding="klingon"),
    "utf-16": body('[[], {}, {"chord": null}]'.encode("utf-16"), content_encoding="utf-16"),
    "embed-null": body(b"[[], {}, null]"),
    "nan": body(b"[[NaN, Infinity], {}, {}]"),
    "integer-of-4000-digits": body(b"[[" + b"9" * 4000 + b"], {}, {}]"),
    "nested-390-deep": body(b"[[" + nested(390) + b"], {}, {}]"),
    "lone-surrogate": body(b'[["\\ud800"], {}, {}]'),
    "eta-as-a-timestamp": task(eta=datetime(2020, 1, 1, tzinfo=timezone.utc)),
    "eta-long-ago": task(eta="1999-01-01T00:00:00+00:00"),
    "eta-without-a-zone": task(eta="2020-01-01T00:00:00"),
    "timelimit-null": task(timelimit=[None, None]),
    "timelimit-empty": task(timelimit=[]),
    "retries-null": task(retries=None),
    "unknown-headers": task(colour="blue", size=[1, {"a": None}]),
    "a-header-that-is-not-utf-8": task(colour=b"\xff"),
}
