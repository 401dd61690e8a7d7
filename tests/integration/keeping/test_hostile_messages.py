"""Whatever arrives on a task queue is run or becomes a dead letter with a reason, and its worker works on."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.keeping.conftest import Scene, task_message
from tests.integration.keeping.messages import HARMLESS, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from amqp.basic_message import Message

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process


@pytest.fixture(scope="module", params=["prefork late quorum", "threads early classic"])
def served(guard: Guard, broker: Broker, request: pytest.FixtureRequest) -> Iterator[tuple[Scene, Process]]:
    """One worker with two slots, which was given all the messages of this file."""
    pool, late, queue_type = request.param.split()
    name = f"test-{secrets.token_hex(4)}"
    scene = Scene(guard, broker.add_vhost(name))
    worker = scene.worker("--pool", pool, KEPT_LATE=str(int(late == "late")), KEPT_QUEUE_TYPE=queue_type)
    for message, _said in HOSTILE.values():
        scene.publish(message)
    for message in HARMLESS.values():
        scene.publish(message)
    scene.await_(lambda: len(scene.dead()) >= len(HOSTILE), "a dead letter for each hostile message")
    scene.await_(lambda: len(scene.ended()) >= len(HARMLESS), "the end of each harmless message")
    yield scene, worker
    scene.close()
    broker.remove_vhost(name)


@pytest.fixture
def letters(served: tuple[Scene, Process]) -> dict[str, dict[str, Any]]:
    """The dead letters by the names of the messages: the worker takes and gives up in the order of the queue."""
    return dict(zip(HOSTILE, served[0].dead(), strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_message_that_cannot_be_run_becomes_a_dead_letter_with_the_reason(
    letters: dict[str, dict[str, Any]], name: str
) -> None:
    """Each is given up alone, whole, and with a sentence that says what was wrong with it."""
    message, said = HOSTILE[name]

    letter = letters[name]

    assert said in letter["x-proj-reason"]
    assert letter["x-proj-reason"].endswith(".")
    assert letter["x-proj-queue"] == "kept"
    assert letter["x-proj-attempts"] == 1
    assert letter[""] == (message.body if isinstance(message.body, bytes) else message.body.encode())


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_message_runs_when_it_can_be_run(served: tuple[Scene, Process], name: str) -> None:
    """An inspection refuses nothing that Celery runs."""
    assert identity(HARMLESS[name]) in served[0].ended()


def test_worker_has_both_of_its_slots_after_all_of_them(served: tuple[Scene, Process]) -> None:
    """Two tasks run side by side, in the process that was started first, and nothing is left."""
    scene, worker = served
    ids = {scene.send("kept.good", number, 0.5) for number in (71, 72)}

    scene.await_(lambda: len(scene.begun() & ids) == 2, "both to begin")

    assert not scene.ended() & ids
    scene.await_(lambda: scene.ended() >= ids, "both to end")
    assert worker.running
    assert len(scene.dead()) == len(HOSTILE)
    assert scene.depth() == 0


@pytest.mark.parametrize(("task", "error"), [("kept.no_such_task", "NotRegistered"), ("kept.good", "InvalidTaskError")])
def test_caller_of_a_refused_task_is_told(served: tuple[Scene, Process], task: str, error: str) -> None:
    """Who waits for its result gets an error, as from Celery."""
    scene, _worker = served
    answers = scene.channel.queue_declare(exclusive=True).queue
    message = task_message(task)
    message.properties.update(reply_to=answers, correlation_id=message.headers["id"])
    before = len(scene.dead())

    scene.publish(message)
    raw = scene.await_(lambda: scene.channel.basic_get(answers, no_ack=True), "the answer")

    result = json.loads(raw.body)
    assert (result["status"], result["result"]["exc_type"]) == ("FAILURE", error)
    scene.await_(lambda: len(scene.dead()) == before + 1, "the dead letter")
    scene.letters.pop()


def identity(message: Message) -> str:
    headers = message.properties.get("application_headers") or {}
    return str(headers.get("id") or json.loads(message.body)["id"])
