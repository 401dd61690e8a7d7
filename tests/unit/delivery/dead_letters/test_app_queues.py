"""The queues that an app's configuration names."""

from __future__ import annotations

import re
from typing import Any

import pytest
from celery import Celery
from kombu import Queue

from proj.delivery.dead_letters.app_queues import queue_types
from proj.errors import InvalidConfiguration


def app(**settings: Any) -> Celery:
    made = Celery("theirs", set_as_current=False)
    made.conf.update(**settings)
    return made


@pytest.mark.parametrize(
    ("routes", "names"),
    [
        ({"t.one": "one", "t.two": {"queue": "two"}}, {"one", "two"}),
        ({"t.*": {"queue": "by-glob"}}, {"by-glob"}),
        ([{"t.one": "one"}, [("t.*", "pair"), (re.compile("u"), {"queue": Queue("regex")})]], {"one", "pair", "regex"}),
        ({"t.one": {"exchange": "topic", "routing_key": "a.b"}}, set()),
        ([lambda name, *_: {"queue": name}, "not.imported"], set()),
    ],
)
def test_queue_types_has_the_queues_of_task_routes(routes: Any, names: set[str]) -> None:
    """Texts, tables, globs, pairs and patterns. Router functions are not called, and nothing is imported."""
    assert set(queue_types(app(task_routes=routes))) == {"celery", *names}


def test_queue_types_has_the_queues_of_proj_adopt_and_additional_ones() -> None:
    """Each with its declared type, or with the type that Celery gives to a missing queue."""
    theirs = app(
        task_queues=(Queue("mine", queue_arguments={"x-queue-type": "quorum"}), Queue("old")),
        task_routes={"t": "old"},
        proj_adopt={"adopted": "t", "mine": "t"},
    )

    classic = {"mine": "quorum", "old": "classic", "adopted": "classic", "additional": "classic"}
    assert queue_types(theirs, ["additional"]) == classic
    theirs.conf.task_create_missing_queue_type = "quorum"
    assert queue_types(theirs, ["additional"]) == {**classic, "adopted": "quorum", "additional": "quorum"}


def test_queue_types_refuses_routes_that_celery_cannot_read() -> None:
    """The error shows the value and an example of a right one."""
    with pytest.raises(InvalidConfiguration, match=r"task_routes is \[\('t.one', 'one'\)\], but must be a table"):
        queue_types(app(task_routes=[("t.one", "one")]))
