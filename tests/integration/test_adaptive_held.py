"""What becomes of messages that wait for a slot in adaptive dispatch, on a real broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kombu import Producer

from proj.delivery.shutdown.halt_command import HALT
from proj.lab.processes.waiting import wait_until
from proj.queues import QUEUE_TYPES
from tests.integration.adaptive import BEHIND, Client, began, holding, ran, worker_of

if TYPE_CHECKING:
    from pathlib import Path

    from proj.broker.version import BrokerVersion
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

TIMEOUT_S = 90


@pytest.mark.timeout(180)
def test_task_that_is_revoked_while_its_message_is_held_is_not_run(
    guard: Guard, broker: Broker, vhost: str, client: Client, tmp_path: Path
) -> None:
    """Its message is acknowledged, as Celery does it, and all others are run once."""
    end = tmp_path / "end"
    with holding(guard, broker.url(vhost), client, "quorum", end) as (worker, ids):
        client.app.control.revoke(ids["behind 0"], reply=True, timeout=10, limit=1)
        end.touch()
        wait_until(lambda: len(ran(worker)) == 220, what="all other tasks", timeout_s=TIMEOUT_S)

        assert "behind 0" not in began(worker)
        assert set(ran(worker).values()) == {1}
        wait_until(lambda: client.unacknowledged(broker, vhost) == 0, what="all settled", timeout_s=TIMEOUT_S)
        assert client.ready() == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("queue_type", QUEUE_TYPES)
def test_halted_worker_counts_the_messages_that_it_holds_and_gives_them_back(
    guard: Guard, broker: Broker, vhost: str, version: BrokerVersion, client: Client, queue_type: str, tmp_path: Path
) -> None:
    """Before its last task has ended; and they are no suspects for the next worker."""
    end = tmp_path / "end"
    url = broker.url(vhost)
    with holding(guard, url, client, queue_type, end) as (worker, _ids):
        (reply,) = client.app.control.broadcast(HALT, reply=True, timeout=10, limit=1)
        (said,) = reply.values()
        wait_until(lambda: client.ready() == len(BEHIND), what="all messages in their queue", timeout_s=TIMEOUT_S)

        assert said["running"] == 1
        assert 0 < said["held"] <= len(BEHIND)
        assert "long" not in ran(worker)
        with worker_of(guard, url, queue_type, "next", "--concurrency", "1") as after:
            wait_until(lambda: len(ran(after)) == len(BEHIND), what="the tasks", timeout_s=TIMEOUT_S)
            # Before 4.3 a quorum queue counts what was on its way to a cancelled consumer (docs/delivery.md, Limits).
            if queue_type == "classic" or not version.counts_nacks:
                assert "redelivered after its worker died" not in after.log_text()
        end.touch()
        wait_until(lambda: not worker.running, what="the end of the worker", timeout_s=TIMEOUT_S)
        assert set(ran(worker, after).values()) == {1}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_plain_messages_and_tasks_beyond_their_time_limit_leave_every_slot_free(
    guard: Guard, broker: Broker, vhost: str, client: Client, pool: str, tmp_path: Path
) -> None:
    """The short tasks among them are run once, and then as many long ones at once as there are slots."""
    texts = [str(number) for number in range(300)]
    with worker_of(guard, broker.url(vhost), "quorum", "kinds", "--concurrency", "2", "--pool", pool) as worker:
        plain = Producer(client.connection)
        for text in texts:
            plain.publish(text, exchange="", routing_key="third", content_type="text/plain", content_encoding="utf-8")
            if pool == "prefork" and text in {"100", "200"}:
                # Threads have no time limits.
                client.send("overtime", f"over {text}")
        wait_until(lambda: set(texts) <= set(ran(worker)), what="the short tasks", timeout_s=TIMEOUT_S)

        end = tmp_path / "end"
        for number in range(2):
            client.send("wait", f"last {number}", str(end))
        wait_until(lambda: began(worker)["last 1"], what="a task in each slot", timeout_s=TIMEOUT_S)
        end.touch()
        wait_until(lambda: len(ran(worker)) == 302, what="the last tasks", timeout_s=TIMEOUT_S)
        assert set(ran(worker).values()) == {1}
