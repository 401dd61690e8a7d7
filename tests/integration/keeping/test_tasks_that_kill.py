"""A task that kills what runs it becomes a dead letter, alone, and no exception of a task ends a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.keeping.conftest import task_message

if TYPE_CHECKING:
    from tests.integration.keeping.conftest import Scene

#: What each says of itself in the end.
KILLERS = {
    "kills_itself": "signal 9",
    "leaves": "SystemExit",
    "interrupts": "KeyboardInterrupt",
    "needs_memory": "MemoryError",
}


@pytest.mark.parametrize(
    ("pool", "queue_type", "tasks"),
    [
        ("prefork", "classic", list(KILLERS)),
        ("threads", "classic", ["leaves", "interrupts", "needs_memory"]),
        ("solo", "quorum", ["leaves", "interrupts", "needs_memory"]),
    ],
)
def test_task_that_ends_its_pool_process_is_given_up_after_three_times_alone(
    scene: Scene, pool: str, queue_type: str, tasks: list[str]
) -> None:
    """It has begun three times, its reason says how it ended, and every good task beside it ran."""
    worker = scene.worker("--pool", pool, KEPT_QUEUE_TYPE=queue_type)
    good = {scene.send("kept.good", number) for number in range(5)}
    for task in tasks:
        scene.send(f"kept.{task}")
        good |= {scene.send("kept.good", number) for number in range(5)}

    scene.await_(lambda: len(scene.dead()) == len(tasks), "the dead letters")
    scene.await_(lambda: scene.ended() >= good, "the good tasks")

    by_task = {letter["task"].removeprefix("kept."): letter for letter in scene.dead()}
    for task in tasks:
        assert KILLERS[task] in by_task[task]["x-proj-reason"] or pool != "prefork"
        assert by_task[task]["x-proj-reason"].startswith("It killed its pool process 3 times")
        assert by_task[task]["x-proj-attempts"] == 3
        assert scene.times_begun(task) == 3
    assert len(scene.ends()) == len(good)
    assert worker.running


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_task_whose_end_celery_fails_at_gives_its_slot_back(scene: Scene, pool: str) -> None:
    """An errback that cannot be sent is an error outside of the task: the message is kept with it, the slot is free."""
    worker = scene.worker("--pool", pool)
    hopeless = {"errbacks": [{"task": "no.such", "args": [], "options": {"expires": "never"}}]}
    for _ in range(3):
        scene.publish(task_message("kept.fails", body=[[], {}, hopeless]))
    good = {scene.send("kept.good", number) for number in range(3)}

    scene.await_(lambda: scene.ended() >= good, "the good tasks")
    scene.await_(lambda: len(scene.dead()) == 3, "the dead letters")

    assert scene.times_begun("fails") == 3
    assert all("It ended with" in reason and "could not be recorded" in reason for reason in scene.reasons())
    assert worker.running


def test_task_of_early_acknowledgement_that_kills_its_process_fails_once(scene: Scene) -> None:
    """What was acknowledged when it began cannot be given back, as ever in Celery; the worker works on."""
    worker = scene.worker(KEPT_LATE="0")
    for task in KILLERS:
        scene.send(f"kept.{task}")
    scene.await_(lambda: all(scene.times_begun(task) for task in KILLERS), "all to begin")
    good = {scene.send("kept.good", number) for number in range(4)}

    scene.await_(lambda: scene.ended() >= good, "the good tasks")

    assert [scene.times_begun(task) for task in KILLERS] == [1, 1, 1, 1]
    assert worker.running
    assert scene.dead() == []


def test_ends_that_celery_knows_are_what_they_were(scene: Scene) -> None:
    """Retries, failures, ignored tasks and time limits end as ever; what was rejected is kept with the reason."""
    worker = scene.worker()
    for task in ("ignores", "retries", "fails", "returns_what_cannot_be_encoded", "never_ends", "rejects"):
        scene.send(f"kept.{task}")
    scene.send("kept.rejects", 1)

    scene.await_(lambda: len(scene.dead()) == 2, "the dead letters")
    scene.await_(lambda: scene.times_begun("retries") == 3, "the retries")
    scene.await_(lambda: "Hard time limit" in worker.log_text(), "the time limit")

    assert sorted(scene.reasons()) == [
        "Its task rejected it: 'it does not suit me'.",
        "Its task requeued it 4 times (proj_requeues) and once more.",
    ]
    assert scene.times_begun("rejects") == 1 + 5
    for task in ("ignores", "fails", "returns_what_cannot_be_encoded", "never_ends"):
        assert scene.times_begun(task) == 1
    assert worker.running
    scene.await_(lambda: scene.depth() == 0, "an empty queue")


@pytest.mark.parametrize(("queue_type", "slots", "strikes"), [("quorum", 2, 1), ("classic", 4, 1)])
def test_task_that_kills_the_worker_itself_is_given_up_alone(
    scene: Scene, queue_type: str, slots: int, strikes: int
) -> None:
    """However often the worker is started again, every good task runs, and nothing but the killer is given up."""
    settings = {"KEPT_QUEUE_TYPE": queue_type, "KEPT_STRIKES": str(strikes)}
    worker = scene.worker(slots=slots, **settings)
    good = {scene.send("kept.good", number) for number in range(20)}
    scene.send("kept.kills_worker")
    good |= {scene.send("kept.good", number) for number in range(40)}

    def supervised() -> bool:
        nonlocal worker
        if not worker.running:
            worker = scene.begin_worker(slots=slots, **settings)
        return bool(scene.dead()) and scene.ended() >= good

    scene.await_(supervised, "the end of all", timeout_s=60)

    assert [letter["task"] for letter in scene.dead()] == ["kept.kills_worker"]
    assert "while it ran alone" in scene.reasons()[0]
    assert scene.dead()[0]["x-proj-attempts"] == scene.times_begun("kills_worker") + 1 == 2 + strikes + 1
    assert scene.depth() == 0
