"""The queue of dead letters while workers run: what RabbitMQ itself gives up goes there, or somebody says that not."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from celery import Celery

from proj.broker.app_management import AppManagement
from proj.broker.control_bus import ControlBus
from proj.delivery.health.check import HealthCheck
from proj.errors import NoManagement
from tests.integration.keeping.conftest import DEAD_LETTERS, QUEUE, SystemUnderTest, task_message

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker


def test_queue_of_dead_letters_that_was_deleted_comes_back_with_its_binding(
    system: SystemUnderTest, broker: Broker, tmp_path: Path
) -> None:
    """On a classic queue RabbitMQ drops what expires meanwhile. The worker and `health` say when there is no policy."""
    vhost = quote(system.url.rpartition("/")[2], safe="")
    worker = system.worker(slots=1, KEPT_QUEUE_TYPE="classic", FLOWER_BROKER_API=broker.management_url)
    # The policies of the virtual host are for the queues of our own app.
    system.await_(lambda: f"Dead letters go nowhere from {QUEUE}" in worker.log_text(), "the warning")
    assert QUEUE in (dropped_by_health(system, broker) or "")
    policy = {"pattern": f"^{QUEUE}$", "definition": {"dead-letter-exchange": DEAD_LETTERS}, "apply-to": "queues"}
    broker.management.request("PUT", f"policies/{vhost}/kept", policy)

    system.channel.queue_delete(DEAD_LETTERS)
    system.await_(lambda: is_bound(broker, vhost), "the binding")

    system.send("kept.good", 1, str(tmp_path / "never"))
    system.await_(system.begun, "the task that has the only slot")
    expiring = task_message("kept.good", 2)
    expiring.properties["expiration"] = "1"
    system.publish(expiring)
    system.await_(lambda: system.depth(DEAD_LETTERS), "the dead letter")
    assert [letter["id"] for letter in system.dead()] == [expiring.headers["id"]]


def is_bound(broker: Broker, vhost: str) -> bool:
    """Whether the queue of dead letters is there again, with the binding to its exchange."""
    try:
        bindings = broker.management.request("GET", f"bindings/{vhost}/e/{DEAD_LETTERS}/q/{DEAD_LETTERS}")
    except NoManagement:
        return False
    return bool(bindings)


def dropped_by_health(system: SystemUnderTest, broker: Broker) -> str | None:
    """What `health` says of queues whose dead letters go nowhere."""
    with Celery(broker=system.url, set_as_current=False) as app, ControlBus(app) as bus:
        check = HealthCheck(app, bus, AppManagement(app, broker.management_url), timeout_s=5)
        check.run(worker=None, interval_s=0.1, stuck_after_s=None)
    return check.dropped
