"""Plain messages on a queue with a task for them: they run as tasks, and their copies are what the client sent."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from amqp.basic_message import Message
from celery import Celery
from hypothesis import HealthCheck, Phase, given, settings

from proj.delivery.dead_letters.queue import DeadLetterQueue
from tests.hostility import MESSAGES, Hostile
from tests.integration.keeping.conftest import DEAD_LETTERS, QUEUE, SystemUnderTest
from tests.publishers import PUBLISHERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

PLAIN_TASKS = json.dumps({QUEUE: "kept.hears"})
NUMBER = 100


class Call(NamedTuple):
    """One call of the task."""

    text: Any
    task_id: str
    retries: int
    correlation_id: str | None


@pytest.fixture(scope="module", params=["prefork quorum", "threads classic"])
def system(guard: Guard, broker: Broker, request: pytest.FixtureRequest) -> Iterator[SystemUnderTest]:
    """A worker with a task for plain messages; its queue had a message that another consumer had held before."""
    pool, queue_type = request.param.split()
    name = f"test-{secrets.token_hex(4)}"
    system = SystemUnderTest(guard, broker.add_vhost(name))
    system.channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": queue_type})
    system.publish(plain("had before"))
    had = system.await_(lambda: system.channel.basic_get(QUEUE), "the message")
    system.channel.basic_reject(had.delivery_tag, requeue=True)
    system.worker("--pool", pool, KEPT_ADOPT=PLAIN_TASKS, KEPT_QUEUE_TYPE=queue_type)
    yield system
    system.close()
    broker.remove_vhost(name)


def plain(body: str, **properties: Any) -> Message:
    return Message(body.encode(), **{"delivery_mode": 2, **properties})


def calls(system: SystemUnderTest) -> list[Call]:
    lines = [line for line in system.lines() if line.startswith("heard ")]
    return [Call(*json.loads(line.removeprefix("heard "))) for line in lines]


def calls_with(system: SystemUnderTest, text: str, count: int = 1) -> list[Call]:
    """The first `count` calls of the task with the text, in order; waits for them."""
    system.await_(
        lambda: sum(call.text == text for call in calls(system)) >= count, f"{text!r} to be heard {count} times"
    )
    return [call for call in calls(system) if call.text == text]


def letter_of(system: SystemUnderTest, body: bytes) -> dict[str, Any] | None:
    """The dead letter with the body, once."""
    found = next((letter for letter in system.dead() if letter[""] == body), None)
    if found:
        system.letters.remove(found)
    return found


def test_plain_message_of_each_language_is_run_once_with_its_text(system: SystemUnderTest) -> None:
    """Whatever properties its client sets; no dead letter is left."""
    texts = [f"Grüße aus {language}" for language in PUBLISHERS]
    for text, properties in zip(texts, PUBLISHERS.values(), strict=True):
        # The broker refuses a `user_id` that is not the sender's.
        system.publish(plain(text, **{name: value for name, value in properties.items() if name != "user_id"}))

    assert [len(calls_with(system, text)) for text in texts] == [1] * len(texts)
    assert system.dead() == []


def test_id_of_a_redelivered_plain_message_says_that_it_was_redelivered(system: SystemUnderTest) -> None:
    """It may have had another id before, under which no further event will come."""
    (call,) = calls_with(system, "had before")

    assert call.task_id.startswith("plain-again-")


def test_result_goes_to_the_reply_queue_that_the_message_names(system: SystemUnderTest) -> None:
    """As Celery's `rpc://` sends it: STARTED, then the result, both with the correlation id of the request."""
    answers = system.channel.queue_declare(exclusive=True).queue
    system.publish(plain("a request", reply_to=answers, correlation_id="42", message_id="request-1"))

    got = [system.await_(lambda: system.channel.basic_get(answers, no_ack=True), "an answer") for _ in range(2)]

    said = [json.loads(answer.body) for answer in got]
    assert [answer.properties["correlation_id"] for answer in got] == ["42", "42"]
    assert [(one["status"], one["task_id"]) for one in said] == [("STARTED", "request-1"), ("SUCCESS", "request-1")]
    assert said[1]["result"] == "heard a request"


def test_retry_of_a_plain_message_is_a_task_message_on_the_same_queue(system: SystemUnderTest) -> None:
    """It has the same id, and its count of retries is one higher."""
    system.publish(plain("retry", message_id="again-1"))

    retried = calls_with(system, "retry", count=2)

    assert [(call.task_id, call.retries) for call in retried] == [("again-1", 0), ("again-1", 1)]


def test_plain_message_keeps_its_body_and_properties_as_a_dead_letter(system: SystemUnderTest, broker: Broker) -> None:
    """The dead letter names the task that ran it, and the message keeps the id that the worker gave it."""
    system.publish(plain("reject", content_type="text/plain", priority=0, app_id="shop", timestamp=1_767_225_600))
    (first,) = calls_with(system, "reject")
    system.await_(lambda: system.depth(DEAD_LETTERS) == 1, "the dead letter")
    app = Celery(broker=system.url, set_as_current=False)

    with DeadLetterQueue(app, management=broker.management) as letters:
        ((letter, body, properties),) = [(held.letter, held.body, held.properties) for held in letters]
    with DeadLetterQueue(app, management=broker.management) as letters:
        for held in letters:
            letters.requeue(held)

    assert (letter.id, letter.task) == (first.task_id, "kept.hears")
    kept = {name: properties[name] for name in ("content_type", "app_id", "priority", "timestamp")}
    assert (body, kept) == (
        b"reject",
        {"content_type": "text/plain", "app_id": "shop", "priority": 0, "timestamp": 1_767_225_600},
    )
    assert calls_with(system, "reject", count=2)[1].task_id == first.task_id
    assert "task" not in system.await_(lambda: letter_of(system, b"reject"), "the dead letter of the second time")


def test_plain_message_that_kills_its_process_is_dead_lettered_as_it_came(system: SystemUnderTest) -> None:
    """It keeps its first id through all attempts, and its body is still the text."""
    system.publish(plain("leave", content_type="text/plain", type="order"))

    letter = system.await_(lambda: letter_of(system, b"leave"), "the dead letter")
    tries = calls_with(system, "leave")
    assert len(tries) == 3
    assert {call.task_id for call in tries} == {letter["properties"]["message_id"]}
    assert (letter[""], letter["x-proj-attempts"], letter["x-proj-task"]) == (b"leave", 3, "kept.hears")
    assert (letter["properties"]["content_type"], letter["properties"]["type"]) == ("text/plain", "order")


def test_any_plain_message_is_run_or_dead_lettered_once(system: SystemUnderTest) -> None:
    """Each of 100 generated messages ends once, and the worker goes on."""
    published: list[str] = []

    @settings(
        max_examples=NUMBER,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(MESSAGES)
    def publish(hostile: Hostile) -> None:
        properties = {**hostile.properties, "message_id": f"hostile-{len(published)}"}
        headers = {name: value for name, value in hostile.headers.items() if name != "task"}
        system.publish(Message(hostile.body, application_headers=headers, **properties))
        published.append(properties["message_id"])

    publish()

    def counted() -> Counter[str]:
        ran = Counter(call.task_id for call in calls(system))
        ran += Counter(line.split()[2] for line in system.lines() if line.startswith("end anything "))
        return ran + Counter(str(letter["properties"].get("message_id")) for letter in system.dead())

    system.await_(lambda: counted().keys() >= set(published), "the end of every message", timeout_s=60)
    assert {name: times for name, times in counted().items() if name in set(published) and times != 1} == {}
    system.publish(plain("after all of them"))
    calls_with(system, "after all of them")
    assert all(worker.running for worker in system.workers)
