"""The inspection of a message: what it refuses, and that it never fails itself."""

from __future__ import annotations

import json
import math
import zlib
from datetime import timezone
from typing import Any

import pytest
from celery import Celery
from hypothesis import given
from hypothesis import strategies as st
from kombu.message import Message

from proj.delivery.validation.limits import Limits, inflates_beyond, is_deeper
from proj.delivery.validation.message import Inspected, Kind, Refusal, TooLarge
from proj.delivery.validation.message import inspect as inspect_message
from proj.printable import shown
from tests.hostility import JSON, MESSAGES, VALUES, Hostile

NOW = 1_800_000_000.0
EMBED: dict[str, Any] = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}

app = Celery("inspected", set_as_current=False)


@app.task(name="kept.anything")  # type: ignore[untyped-decorator] # Celery has no types
def anything(*_args: object, **_kwargs: object) -> None: ...


@app.task(name="one")  # type: ignore[untyped-decorator] # as above
def one(argument: object, *, other: object = None) -> None: ...


@app.task(name="untyped", typing=False)  # type: ignore[untyped-decorator] # as above
def untyped(argument: object) -> None: ...


def message(body: Any = None, *, task: Any = "kept.anything", args: Any = (), **headers: Any) -> Message:
    content = json.dumps([list(args), {}, EMBED] if body is None else body)
    return Message(
        content.encode(),
        content_type="application/json",
        content_encoding="utf-8",
        headers={"task": task, "id": "1", **headers},
        properties={},
        accept={"application/json"},
    )


def inspected(found: Message, limits: Limits | None = None, body_error: Exception | None = None) -> Inspected:
    return inspect_message(
        found,
        tasks=app.tasks,
        limits=limits or Limits(),
        now=NOW,
        zone=timezone.utc,
        worker="w@host",
        body_error=body_error,
    )


def inspect(found: Message, limits: Limits | None = None) -> Refusal | None:
    return inspected(found, limits).refusal


@given(MESSAGES)
def test_inspection_answers_whatever_a_message_holds(hostile: Hostile) -> None:
    """It returns None or a printable sentence; it never raises."""
    found = Message(
        hostile.body,
        content_type=hostile.properties.get("content_type"),
        content_encoding=hostile.properties.get("content_encoding"),
        headers=hostile.headers,
        properties={**hostile.properties, "application_headers": hostile.headers},
        accept={"application/json"},
    )

    answer = inspect(found)

    assert answer is None or (answer.reason.endswith(".") and answer.reason.isprintable())


@given(st.dictionaries(st.text() | st.binary(), VALUES | st.floats(), max_size=5), JSON)
def test_inspection_answers_whatever_headers_and_body_are(headers: dict[Any, Any], body: Any) -> None:
    """Also header names that are no text, and numbers that are NaN."""
    found = message(body)
    found.headers = {**found.headers, **headers}

    answer = inspect(found)

    assert answer is None or answer.reason.endswith(".")


def test_proper_message_is_not_refused() -> None:
    """A message as Celery sends it is run."""
    assert inspect(message(root_id="1", parent_id=None, timelimit=[None, 5], eta="2027-01-15T09:00:00+00:00")) is None


@pytest.mark.parametrize("limit", [math.nan, math.inf, -1, True, "1", [1]])
def test_time_limit_that_is_no_number_of_seconds_is_refused(limit: object) -> None:
    """The pool would take any of these, and lose its slot or its process."""
    answer = inspect(message(timelimit=[limit, None]))

    assert answer is not None
    assert "'timelimit'" in answer.reason


def test_eta_is_refused_when_it_is_further_away_than_the_limit() -> None:
    """A worker would hold the message until then."""
    limits = Limits(latest_eta_s=3600)

    assert inspect(message(eta="2027-01-15T08:59:00+00:00"), limits) is None
    answer = inspect(message(eta="2027-01-15T09:01:00+00:00"), limits)

    assert answer is not None
    assert "proj_latest_eta_s" in answer.reason


def test_body_is_refused_when_it_is_longer_or_deeper_than_the_limits() -> None:
    """The reason names the setting of the limit."""
    limits = Limits(deepest=10, deepest_headers=10, largest_bytes=1000)
    deep: Any = 1
    for _ in range(9):
        deep = [deep]

    assert inspect(message(args=["x" * 800]), limits) is None
    assert "proj_largest_bytes" in str(inspect(message(args=["x" * 1000]), limits))
    assert inspect(message(args=[deep[0]]), limits) is None
    assert "proj_deepest" in str(inspect(message(args=[deep]), limits))
    assert "nested deeper" in str(inspect(message(colour=[[deep]]), limits))


def test_brackets_in_a_text_are_no_depth() -> None:
    """A long text full of brackets is flat."""
    assert inspect(message(args=["[" * 5000])) is None


def test_unregistered_task_is_refused_with_the_worker_that_does_not_know_it() -> None:
    """The reason names the task and the worker."""
    assert inspect(message(task="no.such")) == Refusal(
        "No task is registered as 'no.such' in the worker w@host.", Kind.UNREGISTERED
    )


def test_arguments_are_refused_when_the_task_could_not_be_called_with_them() -> None:
    """The same check as `apply_async` makes at the sender, for the same tasks."""
    assert inspect(message(task="one", args=[1])) is None
    assert "do not fit" in str(inspect(message(task="one", args=[])))
    assert "do not fit" in str(inspect(message([[1], {"another": 2}, EMBED], task="one")))
    assert inspect(message(task="untyped", args=[])) is None


def test_body_that_could_not_be_decompressed_is_refused_with_the_error() -> None:
    """Whether it was too large or of another format."""
    too_large = inspected(message(), body_error=TooLarge()).refusal
    broken = inspected(message(compression="gzip"), body_error=OSError("Not a gzipped file")).refusal

    assert "proj_largest_bytes" in str(too_large)
    assert "'compression' says ('gzip'): Not a gzipped file." in str(broken)


def test_refused_message_has_its_contents_as_far_as_they_can_be_read() -> None:
    """So its caller can be told: the id and the task are there, and the arguments when the body can be decoded."""
    whole = inspected(message(task="no.such", args=[5])).contents
    undecodable = message()
    undecodable.body = "{"
    headers_alone = inspected(undecodable).contents

    assert whole is not None
    assert (whole.headers["id"], whole.args) == ("1", [5])
    assert headers_alone is not None
    assert (headers_alone.headers["id"], headers_alone.args) == ("1", ())


def test_message_that_names_no_task_is_foreign() -> None:
    """Celery rejects these in a way of its own, so they have a kind of their own."""
    found = message({"hello": 1})
    del found.headers["task"]

    answer = inspect(found)

    assert answer is not None
    assert answer.kind is Kind.FOREIGN


@given(
    st.recursive(st.none(), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2))
)
def test_depth_is_the_number_of_containers_inside_each_other(value: Any) -> None:
    """It is counted without recursion, and is what recursion would count."""

    def depth(item: Any) -> int:
        if isinstance(item, dict):
            item = list(item.values())
        return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0

    assert not is_deeper(value, depth(value))
    assert depth(value) == 0 or is_deeper(value, depth(value) - 1)


@pytest.mark.parametrize("size", [0, 999, 1000, 1001, 50_000])
def test_inflation_is_measured_without_inflating_beyond_the_limit(size: int) -> None:
    """A body of exactly the limit passes, and one of a byte more does not."""
    assert inflates_beyond(zlib.compress(b"x" * size), "gzip", 1000) == (size > 1000)


@given(st.binary(), VALUES)
def test_inflation_answers_whatever_the_body_and_its_codec_are(body: bytes, codec: object) -> None:
    """It never raises, and a body that is not compressed passes."""
    inflates_beyond(body, "zlib", 10)
    assert not inflates_beyond(body, codec, 10_000)


def test_value_is_shown_short_and_printable_whatever_it_is() -> None:
    """A reason stays one printable sentence."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    for value in (Shy(), "x" * 10_000, "\x1b[2J\n", 10**5000, [[[[[[1]]]]]], ValueError("\ud800"), RecursionError()):
        assert len(shown(value)) < 600
        assert shown(value).isprintable()
