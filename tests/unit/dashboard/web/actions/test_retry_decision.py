"""Whether a failed task can be sent again with the same arguments."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from celery.utils.saferepr import saferepr

from proj.dashboard.web.actions.retry_decision import Known, decide, literal, question
from proj.errors import ProjError


def known(**more: Any) -> Known:
    told: dict[str, Any] = {
        "id": "old",
        "state": "failed",
        "name": "t.add",
        "queue": "sums",
        "args": "(1, 'two')",
        "kwargs": "{'three': [3.0, None]}",
        "is_letter": False,
        "stored": None,
        "pickled": False,
        **more,
    }
    return Known(**told)


@pytest.mark.parametrize(
    "values",
    [(), (1,), ("é", -1.5, None, True), ([1, (2,)], {"k": {"l": "m"}}), (10**30, 1e300, "it is 5 o'clock"[:7])],
)
def test_text_that_celery_writes_of_plain_values_tells_them(values: tuple[Any, ...]) -> None:
    """The values that come out are those that went in."""
    assert literal(saferepr(values), "arguments") == values


SHORTENED, BACKSLASH, BYTES = "Celery has shortened it", "it has a backslash, which", "it has bytes, and"
OTHER, HIDDEN = "it has a value that is no text", "its sender has hidden a part"


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (("x" * 2000,), SHORTENED),
        ((list(range(500)),), SHORTENED),
        (([[[["deep"]]]],), SHORTENED),
        (("and so on ...",), SHORTENED),
        (("a\\nb",), BACKSLASH),
        (("it's",), BACKSLASH),
        ((b"bytes",), BYTES),
        (({"key": [b"\xff"]},), BYTES),
        (("a\nb",), OTHER),
        (({1, 2},), OTHER),
        ((dt.date(2026, 1, 1),), OTHER),
        ((float("inf"),), OTHER),
        ((Exception,), OTHER),
        (("**** **** **** 5678",), HIDDEN),
    ],
)
def test_text_that_does_not_tell_the_values_exactly_is_refused_with_the_reason(
    values: tuple[Any, ...], why: str
) -> None:
    """The sentence says that this task is not sent, why, and what to do."""
    with pytest.raises(ProjError) as refused:
        literal(saferepr(values, maxlen=1024), "arguments")

    told = "This task is not sent again, because the text of its arguments does not tell them exactly: "
    assert refused.value.message.startswith(f"{told}{why}")
    assert "Send it from your own code" in refused.value.message


def test_celery_writes_different_bytes_alike() -> None:
    """The reason why arguments with bytes are refused."""
    assert saferepr((b"61ff",)) == saferepr((b"a\xff",))


def test_arguments_are_those_of_the_result_backend_else_those_of_the_events() -> None:
    """Where the backend keeps them (result_extended), the text does not matter."""
    by_text = decide(known())
    stored = decide(known(args="(<object>,)", stored={"args": [1], "kwargs": {}, "name": "t", "queue": "q"}))

    assert (by_text.args, by_text.kwargs, by_text.is_stored) == ([1, "two"], {"three": [3.0, None]}, False)
    assert (stored.args, stored.kwargs, stored.is_stored, stored.queue) == ([1], {}, True, "sums")
    assert (
        decide(known(queue=None, name=None, stored={"args": (), "kwargs": {}, "name": "t", "queue": "q"})).queue == "q"
    )


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"state": None}, "Nothing is known"),
        ({"state": "succeeded"}, "it is succeeded"),
        ({"is_letter": True}, "Requeue the letter"),
        ({"name": None}, "The name of the task"),
        ({"queue": None}, "task_send_sent_event"),
        ({"pickled": True}, "serialized with pickle"),
        ({"args": None}, "no event tells its arguments"),
        ({"kwargs": "(1,)"}, "which are no arguments"),
        ({"stored": {"args": None, "kwargs": None}, "args": "(...)"}, "Celery has shortened it"),
    ],
)
def test_task_that_cannot_be_sent_again_faithfully_is_refused_with_the_reason(more: dict[str, Any], why: str) -> None:
    """A dead letter is not sent a second time."""
    with pytest.raises(ProjError, match=why):
        decide(known(**more))


def test_question_shows_the_arguments_and_what_is_not_sent() -> None:
    """Nobody else can see whether the sender has replaced a part of them."""
    asked = question(known(is_letter=None), decide(known(is_letter=None)))

    assert asked == (
        "Send 1 task t.add again to sums, with a new id and with its arguments as the text in its events tells them: "
        "(1, 'two') {'three': [3.0, None]}? It runs alone: what was linked to it, such as the rest of a chain or a "
        "chord, is not sent again. Whether it is a dead letter, too, is not known."
    )
