"""The events that are accepted, and those that are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proj.dashboard.web.event_filter import LONGEST_TEXT, MOST_TASKS, MOST_TYPES, SILENCE_S, EventFilter, checked_event

HEARTBEAT = {
    "type": "worker-heartbeat",
    "hostname": "w@h",
    "pid": 1,
    "clock": 5,
    "utcoffset": -2,
    "timestamp": 1000.5,
    "local_received": 1000.6,
    "freq": 2.0,
    "active": 0,
    "processed": 3,
    "loadavg": [0.5, 0.25, 0],
    "sw_ident": "py-celery",
    "sw_ver": "5.7.0",
    "sw_sys": "Linux",
}
SUCCEEDED = {
    "type": "task-succeeded",
    "uuid": "t",
    "hostname": "w@h",
    "pid": 1,
    "clock": 5,
    "utcoffset": 0,
    "timestamp": 1000.5,
    "local_received": 1000.6,
    "runtime": 0.25,
    "result": "'ü'",
}
RECEIVED = {
    "type": "task-received",
    "uuid": "t",
    "hostname": "w@h",
    "pid": 1,
    "clock": 5,
    "utcoffset": 0,
    "timestamp": 1000.5,
    "local_received": 1000.6,
    "name": "app.task",
    "args": "()",
    "kwargs": "{}",
    "retries": 0,
    "eta": None,
    "expires": None,
    "root_id": "t",
    "parent_id": None,
}
MARK = {
    "type": "dispatch-run",
    "hostname": "lab@h",
    "pid": 1,
    "clock": 5,
    "utcoffset": 0,
    "timestamp": 1000.5,
    "local_received": 1000.6,
    "run": "fair-1",
    "state": "began",
    "queues": ["a"],
}


@pytest.mark.parametrize("event", [HEARTBEAT, SUCCEEDED, RECEIVED], ids=lambda event: event["type"])
def test_event_of_celery_is_accepted_with_the_fields_that_flower_knows(event: dict[str, Any]) -> None:
    """Only the offset of the time zone is left out, because Celery would change the timestamp by it."""
    expected = {name: value for name, value in event.items() if name != "utcoffset" and value is not None}

    assert checked_event(event) == expected


def test_event_of_another_kind_is_accepted_without_its_own_fields() -> None:
    """Flower only counts such events."""
    fields = ("type", "hostname", "pid", "clock", "timestamp", "local_received")

    assert checked_event(MARK) == {name: MARK[name] for name in fields}


@pytest.mark.parametrize("event", [HEARTBEAT, SUCCEEDED, RECEIVED], ids=lambda event: event["type"])
def test_unknown_fields_of_an_event_are_left_out(event: dict[str, Any]) -> None:
    """Celery's state would set each as an attribute of its own objects, and replace methods."""
    hostile = {"heartbeats": "x", "event": "x", "state": "x", "children": 5, "__class__": "x", "worker": {}}

    assert checked_event({**event, **hostile}) == checked_event(event)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((field, value) for field in ("type", "hostname") for value in (None, "", 5, [], {}, "x" * 256, "\ud800-x")),
        *(("type", value) for value in ("heartbeat", "worker-", "-heartbeat", "worker")),
        *(
            (field, value)
            for field in ("timestamp", "local_received", "clock")
            for value in (None, "1", [], -1, True, float("nan"), float("inf"), 10**400)
        ),
        *((field, value) for field in ("active", "processed", "pid") for value in ("1", 0.5, -1, 2**53, [], {})),
        *(("freq", value) for value in ("2", 0, -1, float("nan"), float("inf"), 1e9, [])),
        *(("loadavg", value) for value in ("0.5", 5, [1, 2, 3, 4], ["1"], [float("nan")], {"a": 1})),
        *(("sw_ident", value) for value in (5, [], {})),
    ],
)
def test_heartbeat_with_a_malformed_field_is_refused(field: str, value: Any) -> None:
    """One malformed field is enough to refuse the event."""
    assert checked_event({**HEARTBEAT, field: value}) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("uuid", value) for value in (None, "", 5, [], "x" * 256, "\udfff")),
        *(("runtime", value) for value in ("1", -1.0, float("nan"), float("inf"), 1e300, [])),
        *(("retries", value) for value in ("1", -1, 0.5)),
        *(("name", value) for value in ("", 5, [], "x" * 256)),
        *(("parent_id", value) for value in ("", 5, {})),
        *(("args", value) for value in (5, [1], {"a": 1})),
        *(("eta", value) for value in (5, [1])),
    ],
)
def test_task_event_with_a_malformed_field_is_refused(field: str, value: Any) -> None:
    """The same holds for events of tasks."""
    assert checked_event({**RECEIVED, field: value}) is None


def test_text_that_is_only_shown_is_cut_and_repaired() -> None:
    """A long text is cut, and half a character becomes a question mark."""
    event = checked_event({**RECEIVED, "args": "x" * 100_000, "kwargs": "{'a': '\ud800'}"})

    assert event is not None
    assert event["args"] == "x" * LONGEST_TEXT
    assert event["kwargs"] == "{'a': '?'}"


#: One character of each kind that JSON, HTML or UTF-8 treats differently; the last two are halves of a character.
CHARACTERS = "aZ09 -_'\"<>&{}\\\0\n\x7f\u00e9\u0301\u2028\ufffe\U0001f600\ud800\udfff"
TEXTS = st.text(CHARACTERS, max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
#: Not `st.recursive`, which took seconds to draw ten values on a busy machine.
FLAT = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(TEXTS, SCALARS, max_size=3)
VALUES = FLAT | st.lists(FLAT, max_size=2)
FIELDS = st.sampled_from(sorted({*HEARTBEAT, *RECEIVED, *SUCCEEDED}))


@given(changes=st.dictionaries(FIELDS, VALUES, max_size=4), worker=st.booleans())
def test_every_accepted_event_can_be_shown_by_flower(changes: dict[str, Any], *, worker: bool) -> None:
    """It is JSON that a browser can read, in UTF-8. Where Flower computes, it has texts and numbers."""
    event = checked_event({**(HEARTBEAT if worker else RECEIVED), **changes})

    if event is not None:
        json.dumps(event, allow_nan=False, ensure_ascii=False).encode()
        assert {type(event[name]) for name in ("type", "hostname")} == {str}
        assert {type(event[name]) for name in ("timestamp", "clock")} <= {int, float}


@given(VALUES)
def test_any_value_that_is_no_event_is_refused(value: Any) -> None:
    """None of them raises an error."""
    assert checked_event(value) is None


class Forgotten(list[set[str]]):
    """The names that were forgotten, in order."""

    def __call__(self, names: set[str]) -> None:
        self.append(names)


def heartbeat(sender: str) -> dict[str, Any]:
    return {**HEARTBEAT, "hostname": sender}


def test_filter_accepts_no_more_senders_than_its_limit() -> None:
    """The first ones stay accepted."""
    forgotten = Forgotten()
    event_filter = EventFilter(senders=2, forget=forgotten)

    assert [bool(event_filter.accept(heartbeat(name), now=1.0)) for name in ("a", "b", "c", "a", "b", "d")] == [
        *(True, True, False),
        *(True, True, False),
    ]
    assert forgotten == []


def test_filter_replaces_a_silent_sender_by_a_new_one() -> None:
    """A sender that sent an event lately stays."""
    forgotten = Forgotten()
    event_filter = EventFilter(senders=2, forget=forgotten)
    for name, now in (("a", 1.0), ("b", 1.0), ("b", SILENCE_S)):
        event_filter.accept(heartbeat(name), now=now)

    assert event_filter.accept(heartbeat("c"), now=SILENCE_S + 2)
    assert forgotten == [{"a"}]
    assert event_filter.accept(heartbeat("b"), now=SILENCE_S + 2)


def test_filter_limits_task_names_and_event_types() -> None:
    """Flower keeps a series for each, and never removes one. Known ones stay accepted."""
    event_filter = EventFilter(senders=10, forget=Forgotten())
    tasks = [event_filter.accept({**RECEIVED, "name": f"task-{number}"}) for number in range(MOST_TASKS + 10)]
    types = [event_filter.accept({**MARK, "type": f"my-{number}"}) for number in range(MOST_TYPES + 10)]

    assert sum(map(bool, tasks)) == MOST_TASKS
    assert sum(map(bool, types)) == MOST_TYPES
    assert event_filter.accept({**RECEIVED, "name": "task-1"})
    assert event_filter.accept({**MARK, "type": "my-1"})
    assert event_filter.accept(HEARTBEAT)
