"""A result backend that is away for a while: no good task becomes a dead letter, and none is done twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from tests.integration.keeping.conftest import QUEUE

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from tests.integration.keeping.conftest import SystemUnderTest

TASK = "kept.good"
TRIED_S = 0.4


def status(folder: Path, task_id: str) -> str | None:
    """The state of a task in the backend; None when it has none, or is just written."""
    try:
        return str(json.loads((folder / f"celery-task-meta-{task_id}").read_text())["status"])
    except (OSError, ValueError):
        return None


def lost_by_heartbeat(url: str) -> object:
    """How many results could not be stored, as the next heartbeat tells."""
    heard: list[dict[str, Any]] = []
    with Celery("heard", set_as_current=False, broker=url) as app, app.connection_for_write() as connection:
        receiver = app.events.Receiver(connection, handlers={"worker-heartbeat": heard.append})
        with receiver.consumer_context() as (own, _, _):
            while not heard:
                own.drain_events(timeout=30)
    return heard[0].get("results_lost")


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_backend_that_is_away_makes_no_task_fail(
    system: SystemUnderTest, broker: Broker, tmp_path: Path, pool: str
) -> None:
    """What has not run is given back until the backend is there; what ran has ended, and its lost result is counted."""
    away = tmp_path / "away"
    settings = {"KEPT_BACKEND": "away:Backend", "KEPT_RESULTS": str(tmp_path), "KEPT_RESULT_TIMEOUT": str(TRIED_S)}
    worker = system.worker("--pool", pool, KEPT_WATCH="1", **settings)

    lost = system.send("kept.loses_backend")
    system.await_(away.exists, "the first task")
    later = {system.send(TASK, number) for number in range(5)}
    system.await_(lambda: "and its result is lost" in worker.log_text(), "the end of what ran")
    system.await_(lambda: worker.log_text().count("was not run and goes back") >= len(later), "the others given back")
    assert system.begun() == {lost}
    assert lost_by_heartbeat(system.url) == 1

    away.unlink()
    system.await_(lambda: system.ended() == {lost, *later}, "all tasks")
    system.await_(lambda: {status(tmp_path, one) for one in later} == {"SUCCESS"}, "their results")
    assert status(tmp_path, lost) == "STARTED"
    assert sorted(system.ends()) == sorted({lost, *later})
    # Ready and unacknowledged.
    path = f"queues/{system.url.rpartition('/')[2]}/{QUEUE}"
    system.await_(lambda: broker.management.request("GET", path).get("messages") == 0, "an empty queue")
    assert system.dead() == []


def test_result_is_stored_when_the_backend_is_back_in_time(system: SystemUnderTest, tmp_path: Path) -> None:
    """Also that of a task that failed: its own error, and not that of the backend."""
    away, may_end = tmp_path / "away", tmp_path / "may-end"
    system.worker(KEPT_BACKEND="away:Backend", KEPT_RESULTS=str(tmp_path))

    good, bad = system.send(TASK, 1, str(may_end)), system.send("kept.answers", "FAILURE")
    system.await_(lambda: status(tmp_path, bad) == "FAILURE" and good in system.begun(), "the first results")
    away.touch()
    may_end.touch()
    system.await_(lambda: good in system.ended(), "the end of the task")
    away.unlink()

    system.await_(lambda: status(tmp_path, good) == "SUCCESS", "its result")
    assert system.dead() == []
