"""Tasks that kill their process: each becomes a dead letter, other tasks do not, and no exception ends a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.keeping.conftest import task_message

if TYPE_CHECKING:
    from tests.integration.keeping.conftest import SystemUnderTest

#: A part of the reason that each gets.
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
def test_task_that_kills_its_pool_process_is_dead_lettered_after_three_attempts(
    system: SystemUnderTest, pool: str, queue_type: str, tasks: list[str]
) -> None:
    """It began three times, its reason says how its process died, and every other task ran once."""
    worker = system.worker("--pool", pool, KEPT_QUEUE_TYPE=queue_type)
    good = {system.send("kept.good", number) for number in range(5)}
    for task in tasks:
        system.send(f"kept.{task}")
        good |= {system.send("kept.good", number) for number in range(5)}

    system.await_(lambda: len(system.dead()) == len(tasks), "the dead letters")
    system.await_(lambda: system.ended() >= good, "the good tasks")

    by_task = {letter["task"].removeprefix("kept."): letter for letter in system.dead()}
    for task in tasks:
        assert KILLERS[task] in by_task[task]["x-proj-reason"] or pool != "prefork"
        assert by_task[task]["x-proj-reason"].startswith("It killed its pool process 3 times")
        assert by_task[task]["x-proj-ran"] is True
        assert by_task[task]["x-proj-attempts"] == 3
        assert system.times_begun(task) == 3
    assert len(system.ends()) == len(good)
    assert worker.running


@pytest.mark.parametrize("pool", ["threads", "solo"])
def test_task_whose_failure_cannot_be_stored_frees_its_slot(system: SystemUnderTest, pool: str) -> None:
    """An errback that cannot be sent is an error outside the task: the message is dead-lettered with that error."""
    worker = system.worker("--pool", pool)
    hopeless = {"errbacks": [{"task": "no.such", "args": [], "options": {"expires": "never"}}]}
    for _ in range(3):
        system.publish(task_message("kept.fails", body=[[], {}, hopeless]))
    good = {system.send("kept.good", number) for number in range(3)}

    system.await_(lambda: system.ended() >= good, "the good tasks")
    system.await_(lambda: len(system.dead()) == 3, "the dead letters")

    assert system.times_begun("fails") == 3
    assert all(
        "It began to run, and ended with" in reason and "could not be recorded" in reason for reason in system.reasons()
    )
    assert worker.running


def test_task_with_early_acknowledgement_that_kills_its_process_fails_once(system: SystemUnderTest) -> None:
    """Its message was acknowledged when it began, so it is not tried again, as in Celery; the worker goes on."""
    worker = system.worker(KEPT_LATE="0")
    for task in KILLERS:
        system.send(f"kept.{task}")
    system.await_(lambda: all(system.times_begun(task) for task in KILLERS), "all to begin")
    good = {system.send("kept.good", number) for number in range(4)}

    system.await_(lambda: system.ended() >= good, "the good tasks")

    assert [system.times_begun(task) for task in KILLERS] == [1, 1, 1, 1]
    assert worker.running
    assert system.dead() == []


def test_ends_of_tasks_that_celery_handles_stay_the_same(system: SystemUnderTest) -> None:
    """Retries, failures, ignored tasks and time limits end as in Celery; a rejected message is dead-lettered."""
    worker = system.worker()
    for task in ("ignores", "retries", "fails", "returns_what_cannot_be_encoded", "never_ends", "rejects"):
        system.send(f"kept.{task}")
    system.send("kept.rejects", 1)

    system.await_(lambda: len(system.dead()) == 2, "the dead letters")
    system.await_(lambda: system.times_begun("retries") == 3, "the retries")
    system.await_(lambda: "Hard time limit" in worker.log_text(), "the time limit")

    assert sorted(system.reasons()) == [
        "Its task rejected it: 'it does not suit me'.",
        "Its task requeued it 4 times (proj_requeues) and once more.",
    ]
    assert system.times_begun("rejects") == 1 + 5
    for task in ("ignores", "fails", "returns_what_cannot_be_encoded", "never_ends"):
        assert system.times_begun(task) == 1
    assert worker.running
    system.await_(lambda: system.depth() == 0, "an empty queue")


@pytest.mark.parametrize(("queue_type", "slots", "strikes"), [("quorum", 2, 1), ("classic", 4, 1)])
def test_task_that_kills_its_worker_is_the_only_one_dead_lettered(
    system: SystemUnderTest, queue_type: str, slots: int, strikes: int
) -> None:
    """The worker is started again each time, and every other task runs."""
    settings = {"KEPT_QUEUE_TYPE": queue_type, "KEPT_STRIKES": str(strikes)}
    worker = system.worker(slots=slots, **settings)
    good = {system.send("kept.good", number) for number in range(20)}
    system.send("kept.kills_worker")
    good |= {system.send("kept.good", number) for number in range(40)}

    def supervised() -> bool:
        nonlocal worker
        if not worker.running:
            worker = system.begin_worker(slots=slots, **settings)
        return bool(system.dead()) and system.ended() >= good

    system.await_(supervised, "the end of all", timeout_s=60)

    assert [letter["task"] for letter in system.dead()] == ["kept.kills_worker"]
    assert "while it ran alone" in system.reasons()[0]
    assert system.dead()[0]["x-proj-attempts"] == system.times_begun("kills_worker") + 1 == 2 + strikes + 1
    assert system.depth() == 0
