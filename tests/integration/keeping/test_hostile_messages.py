"""Messages that harm a stock worker: each becomes a dead letter with a reason, and the worker goes on."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.keeping.conftest import SystemUnderTest, task_message
from tests.integration.keeping.messages import HARMLESS, HOSTILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from amqp.basic_message import Message

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process


@pytest.fixture(scope="module", params=["prefork late quorum", "threads early classic"])
def served(guard: Guard, broker: Broker, request: pytest.FixtureRequest) -> Iterator[tuple[SystemUnderTest, Process]]:
    """One worker with two slots, which has received all messages of `messages.py`."""
    pool, late, queue_type = request.param.split()
    name = f"test-{secrets.token_hex(4)}"
    system = SystemUnderTest(guard, broker.add_vhost(name))
    worker = system.worker("--pool", pool, KEPT_LATE=str(int(late == "late")), KEPT_QUEUE_TYPE=queue_type)
    for message, _said in HOSTILE.values():
        system.publish(message)
    for message in HARMLESS.values():
        system.publish(message)
    system.await_(lambda: len(system.dead()) >= len(HOSTILE), "a dead letter for each hostile message")
    system.await_(lambda: len(system.ended()) >= len(HARMLESS), "the end of each harmless message")
    yield system, worker
    system.close()
    broker.remove_vhost(name)


@pytest.fixture
def letters(served: tuple[SystemUnderTest, Process]) -> dict[str, dict[str, Any]]:
    """The dead letters by the names of the messages: the worker dead-letters them in the order of the queue."""
    return dict(zip(HOSTILE, served[0].dead(), strict=True))


@pytest.mark.parametrize("name", HOSTILE)
def test_message_that_cannot_be_run_becomes_a_dead_letter_with_the_reason(
    letters: dict[str, dict[str, Any]], name: str
) -> None:
    """Each is dead-lettered alone, with its body as it came and a sentence that names its fault."""
    message, said = HOSTILE[name]

    letter = letters[name]

    assert said in letter["x-proj-reason"]
    assert letter["x-proj-reason"].endswith(".")
    assert letter["x-proj-ran"] is False
    assert letter["x-proj-queue"] == "kept"
    assert letter["x-proj-attempts"] == 1
    assert letter[""] == (message.body if isinstance(message.body, bytes) else message.body.encode())


@pytest.mark.parametrize("name", HARMLESS)
def test_odd_message_runs_when_it_can_be_run(served: tuple[SystemUnderTest, Process], name: str) -> None:
    """The inspection refuses no message that Celery can run."""
    assert identity(HARMLESS[name]) in served[0].ended()


def test_worker_has_both_slots_after_all_these_messages(
    served: tuple[SystemUnderTest, Process], tmp_path: Path
) -> None:
    """Two tasks run at the same time in the worker that was started first, and the queue is empty."""
    system, worker = served
    ids = {system.send("kept.good", number, str(tmp_path / "end")) for number in (71, 72)}

    system.await_(lambda: len(system.begun() & ids) == 2, "both to begin")

    assert not system.ended() & ids
    (tmp_path / "end").touch()
    system.await_(lambda: system.ended() >= ids, "both to end")
    assert worker.running
    assert len(system.dead()) == len(HOSTILE)
    assert system.depth() == 0


@pytest.mark.parametrize(("task", "error"), [("kept.no_such_task", "NotRegistered"), ("kept.good", "InvalidTaskError")])
def test_caller_of_a_refused_task_is_told(served: tuple[SystemUnderTest, Process], task: str, error: str) -> None:
    """A caller that waits for the result gets the error that Celery would raise."""
    system, _worker = served
    answers = system.channel.queue_declare(exclusive=True).queue
    message = task_message(task)
    message.properties.update(reply_to=answers, correlation_id=message.headers["id"])
    before = len(system.dead())

    system.publish(message)
    raw = system.await_(lambda: system.channel.basic_get(answers, no_ack=True), "the answer")

    result = json.loads(raw.body)
    assert (result["status"], result["result"]["exc_type"]) == ("FAILURE", error)
    system.await_(lambda: len(system.dead()) == before + 1, "the dead letter")
    system.letters.pop()


@pytest.mark.parametrize("settings", [{"KEPT_OWN_AMQP": "1"}, {"KEPT_OWN_AMQP": "1", "KEPT_CONFIRM": "1"}])
def test_messages_are_kept_whatever_amqp_class_the_app_has(system: SystemUnderTest, settings: dict[str, str]) -> None:
    """The app's own class stays, with or without confirmed publishing."""
    system.worker(**settings)
    message, said = HOSTILE["undecodable"]

    system.publish(message)
    good = {system.send("kept.good", 1)}

    system.await_(lambda: system.ended() >= good, "the good task")
    (reason,) = system.await_(system.reasons, "the dead letter")
    assert said in reason


def identity(message: Message) -> str:
    headers = message.properties.get("application_headers") or {}
    return str(headers.get("id") or json.loads(message.body)["id"])
