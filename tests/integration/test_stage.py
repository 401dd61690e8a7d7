"""A pipeline's stages on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from celery.contrib.testing.worker import start_worker, test_worker_started
from celery.result import AsyncResult
from celery.utils import uuid
from kombu import Connection

from proj.broker.connection import connected
from proj.celery import app
from proj.delivery.header_names import REASON
from proj.delivery.publishing.confirm_publishing import close_publishing
from proj.delivery.stage import Stage, output_id
from proj.errors import QueueFull
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS, PRINT_QUEUE, UPPERCASE_QUEUE
from proj.tasks import printer, to_upper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version

VHOST = "stage"
TIMEOUT_S = 60

#: How often a publish of the stage below raises QueueFull; and the ids of its runs.
FULL_TIMES = 2
runs: list[str] = []


@app.task(base=Stage, bind=True, name="test.crowded")  # type: ignore[untyped-decorator] # Celery has no types
def crowded(self: Any, text: str) -> str:
    """A stage whose next queue is full at first."""
    runs.append(self.request.id)
    output = printer.s(text)
    if len(runs) <= FULL_TIMES:
        output.apply_async = refuse
    return str(self.hand_on(output).id)


def refuse(**_: object) -> None:
    raise QueueFull("There is no room in the queue.")


def tick(consumer: Any, **_: object) -> None:
    # Otherwise the event loop checks only every ten seconds whether it should end.
    consumer.timer.call_repeatedly(0.1, lambda: None)


@pytest.fixture(scope="module", autouse=True)
def _worker(broker: Broker) -> Iterator[None]:
    """One worker of both stages in this process, for all tests of this file; a dot takes 10 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CELERY_BROKER_URL", broker.add_vhost(VHOST))
        patch.setitem(app.conf, "proj_dot_seconds", 0.01)
        test_worker_started.connect(tick)
        with start_worker(app, pool="solo", perform_ping_check=False, queues=[UPPERCASE_QUEUE, PRINT_QUEUE]):
            yield
        test_worker_started.disconnect(tick)
        app.amqp.queues.select([app.conf.task_default_queue])
        close_publishing(app)
        app.close()
    broker.remove_vhost(VHOST)


def test_caller_can_wait_for_the_result_of_the_last_stage() -> None:
    """The result of the first stage is the id of its output, whose result comes to the same caller."""
    first = to_upper.delay("hello")

    following = first.get(timeout=TIMEOUT_S)

    assert following == output_id(first.id, printer.name)
    assert AsyncResult(following, app=app).get(timeout=TIMEOUT_S) == "HELLO"


def test_input_of_a_stage_that_raises_is_dead_lettered(broker: Broker) -> None:
    """With the error as the reason; the caller gets the error too."""
    failed = to_upper.delay(7)

    with pytest.raises(Exception, match="A message must be a text"):
        failed.get(timeout=TIMEOUT_S)
    with connected(Connection(broker.url(VHOST))) as connection:
        channel = connection.channel()
        letter = wait_until(
            lambda: channel.basic_get(DEAD_LETTERS, no_ack=True), what="a dead letter", timeout_s=TIMEOUT_S
        )
    assert letter.headers["id"] == failed.id
    assert letter.headers[REASON].startswith("It failed: InvalidMessage: A message must be a text")


def test_input_of_a_stage_whose_next_queue_is_full_is_requeued_until_there_is_room() -> None:
    """The stage runs again for the same input; its output is handed on once, with the same id."""
    runs.clear()
    task_id = uuid()
    crowded.apply_async(("hello",), task_id=task_id, queue=UPPERCASE_QUEUE)

    following = AsyncResult(task_id, app=app).get(timeout=TIMEOUT_S)

    assert runs == [task_id] * (FULL_TIMES + 1)
    assert following == output_id(task_id, printer.name)
    assert AsyncResult(following, app=app).get(timeout=TIMEOUT_S) == "hello"
