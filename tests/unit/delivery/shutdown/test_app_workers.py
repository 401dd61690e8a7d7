"""Which workers are an app's."""

from __future__ import annotations

import pytest

from proj.delivery.shutdown.app_workers import own_tasks, workers_of

TASKS = {"app.add", "app.mul", "lib.mail"}


def test_tasks_of_celery_itself_are_nobodys() -> None:
    """Every worker has them."""
    assert own_tasks(["celery.ping", "celery.chord", "app.add"]) == {"app.add"}


@pytest.mark.parametrize(
    ("registered", "is_ours"),
    [
        (TASKS, True),
        # It runs a newer version, or an older one.
        (TASKS | {"app.new"}, True),
        ({"app.add"}, True),
        # Another app, without and with a library that both use.
        ({"other.add"}, False),
        ({"other.add", "lib.mail"}, False),
        # A version with a task more and a task less cannot be told from another app.
        ({"app.add", "app.old"}, False),
        (set(), False),
    ],
)
def test_worker_is_of_the_app_when_it_has_all_its_tasks_or_some_and_no_other(
    registered: set[str], *, is_ours: bool
) -> None:
    """The others are left alone."""
    found = workers_of(TASKS, registered={"w@x": registered}, queues={"w@x": {"q"}})

    assert found == (["w@x"] if is_ours else [])


def test_silent_worker_is_of_the_app_when_it_consumes_from_its_queues_alone() -> None:
    """Those that the app's settings name, and those that its other workers consume."""
    queues = {
        "answers@x": {"q", "extra"},
        "silent1@x": {"q"},
        "silent2@x": {"extra", "named"},
        "other@x": {"q", "theirs"},
        "nothing@x": set[str](),
    }

    found = workers_of(TASKS, registered={"answers@x": TASKS}, queues=queues, app_queues={"named"})

    assert found == ["answers@x", "silent1@x", "silent2@x"]
