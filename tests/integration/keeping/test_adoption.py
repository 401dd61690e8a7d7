"""Plain messages on a queue that a task adopts: run as tasks, and else still what their publisher sent."""

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
from tests.integration.keeping.conftest import DEAD_LETTERS, QUEUE, Scene
from tests.publishers import PUBLISHERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

ADOPT = json.dumps({QUEUE: "kept.hears"})
NUMBER = 100


class Hearing(NamedTuple):
    """What the task was called with."""

    text: Any
    task_id: str
    retries: int
    correlation_id: str | None


@pytest.fixture(scope="module", params=["prefork quorum", "threads classic"])
def adopting(guard: Guard, broker: Broker, request: pytest.FixtureRequest) -> Iterator[Scene]:
    """A worker with two slots whose task adopts what is plain; it found a message that somebody had before it."""
    pool, queue_type = request.param.split()
    name = f"test-{secrets.token_hex(4)}"
    scene = Scene(guard, broker.add_vhost(name))
    scene.channel.queue_declare(QUEUE, durable=True, auto_delete=False, arguments={"x-queue-type": queue_type})
    scene.publish(plain("had before"))
    had = scene.await_(lambda: scene.channel.basic_get(QUEUE), "the message")
    scene.channel.basic_reject(had.delivery_tag, requeue=True)
    scene.worker("--pool", pool, KEPT_ADOPT=ADOPT, KEPT_QUEUE_TYPE=queue_type)
    yield scene
    scene.close()
    broker.remove_vhost(name)


def plain(body: str, **properties: Any) -> Message:
    return Message(body.encode(), **{"delivery_mode": 2, **properties})


def heard(scene: Scene) -> list[Hearing]:
    lines = [line for line in scene.lines() if line.startswith("heard ")]
    return [Hearing(*json.loads(line.removeprefix("heard "))) for line in lines]


def hearings(scene: Scene, text: str, count: int = 1) -> list[Hearing]:
    """So many calls of the task with the text, in order, when they have come."""
    scene.await_(
        lambda: sum(hearing.text == text for hearing in heard(scene)) >= count, f"{text!r} to be heard {count} times"
    )
    return [hearing for hearing in heard(scene) if hearing.text == text]


def test_message_of_each_language_is_run_once_with_its_text(adopting: Scene) -> None:
    """And leaves no dead letter."""
    texts = [f"Grüße aus {language}" for language in PUBLISHERS]
    for text, properties in zip(texts, PUBLISHERS.values(), strict=True):
        # The broker lets nobody send under another's name.
        adopting.publish(plain(text, **{name: value for name, value in properties.items() if name != "user_id"}))

    assert [len(hearings(adopting, text)) for text in texts] == [1] * len(texts)
    assert adopting.dead() == []


def test_message_that_somebody_had_before_says_so_in_the_id_that_it_gets(adopting: Scene) -> None:
    """Under the id that it had there nobody will hear of it again."""
    (hearing,) = hearings(adopting, "had before")

    assert hearing.task_id.startswith("plain-again-")


def test_result_goes_to_whom_the_message_says(adopting: Scene) -> None:
    """As Celery's `rpc://` sends it: first that it has started, then what came of it, with the request's own mark."""
    answers = adopting.channel.queue_declare(exclusive=True).queue
    adopting.publish(plain("a request", reply_to=answers, correlation_id="42", message_id="request-1"))

    got = [adopting.await_(lambda: adopting.channel.basic_get(answers, no_ack=True), "an answer") for _ in range(2)]

    said = [json.loads(answer.body) for answer in got]
    assert [answer.properties["correlation_id"] for answer in got] == ["42", "42"]
    assert [(one["status"], one["task_id"]) for one in said] == [("STARTED", "request-1"), ("SUCCESS", "request-1")]
    assert said[1]["result"] == "heard a request"


def test_retry_is_a_message_of_celerys_own_on_the_same_queue(adopting: Scene) -> None:
    """With the same id and one retry more."""
    adopting.publish(plain("retry", message_id="again-1"))

    retried = hearings(adopting, "retry", count=2)

    assert [(hearing.task_id, hearing.retries) for hearing in retried] == [("again-1", 0), ("again-1", 1)]


def test_dead_letter_of_a_plain_message_is_that_message_and_is_requeued_as_it(adopting: Scene) -> None:
    """Body and properties as they came; the letter names the task that had it, and the id that it got stays with it."""
    adopting.publish(plain("reject", content_type="text/plain", priority=0, app_id="shop", timestamp=1_767_225_600))
    (first,) = hearings(adopting, "reject")
    adopting.await_(lambda: adopting.depth(DEAD_LETTERS) == 1, "the dead letter")
    app = Celery(broker=adopting.url, set_as_current=False)

    with DeadLetterQueue(app) as letters:
        ((letter, body, properties),) = [(held.letter, held.body, held.properties) for held in letters]
    with DeadLetterQueue(app) as letters:
        for held in letters:
            letters.requeue(held)

    assert (letter.id, letter.task) == (first.task_id, "kept.hears")
    kept = {name: properties[name] for name in ("content_type", "app_id", "priority", "timestamp")}
    assert (body, kept) == (
        b"reject",
        {"content_type": "text/plain", "app_id": "shop", "priority": 0, "timestamp": 1_767_225_600},
    )
    assert hearings(adopting, "reject", count=2)[1].task_id == first.task_id
    adopting.await_(adopting.dead, "the dead letter of the second time")
    assert "task" not in adopting.letters.pop()


def test_message_whose_task_ends_its_process_is_given_up_as_it_came(adopting: Scene) -> None:
    """It keeps the id that it was first given through all its tries, and its text is still the body."""
    adopting.publish(plain("leave", content_type="text/plain", type="order"))

    adopting.await_(adopting.dead, "the dead letter")

    letter = adopting.letters.pop()
    tries = hearings(adopting, "leave")
    assert len(tries) == 3
    assert {hearing.task_id for hearing in tries} == {letter["properties"]["message_id"]}
    assert (letter[""], letter["x-proj-attempts"], letter["x-proj-task"]) == (b"leave", 3, "kept.hears")
    assert (letter["properties"]["content_type"], letter["properties"]["type"]) == ("text/plain", "order")


def test_whatever_is_published_is_heard_or_becomes_a_dead_letter(adopting: Scene) -> None:
    """Each of a hundred hostile messages once, and the worker works on."""
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
        adopting.publish(Message(hostile.body, application_headers=headers, **properties))
        published.append(properties["message_id"])

    publish()

    def counted() -> Counter[str]:
        ran = Counter(hearing.task_id for hearing in heard(adopting))
        ran += Counter(line.split()[2] for line in adopting.lines() if line.startswith("end anything "))
        return ran + Counter(str(letter["properties"].get("message_id")) for letter in adopting.dead())

    adopting.await_(lambda: counted().keys() >= set(published), "every message to end somewhere", timeout_s=60)
    assert {name: times for name, times in counted().items() if name in set(published) and times != 1} == {}
    adopting.publish(plain("after all of them"))
    hearings(adopting, "after all of them")
    assert all(worker.running for worker in adopting.workers)
