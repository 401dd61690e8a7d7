"""What must exist for an app that is not ours, and the definitions file."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from proj.celery import app as ours
from proj.delivery.install import install
from proj.delivery.topology.app_topology import DELAYS, TASKS, topology
from proj.delivery.topology.entities import Part, definitions


def app(**settings: Any) -> Celery:
    made = Celery("theirs", broker="amqp://nobody@127.0.0.1:1//", set_as_current=False)
    made.conf.update(
        {
            "task_default_queue": "orders",
            "task_default_queue_type": "quorum",
            "task_default_exchange_type": "topic",
            "task_routes": {"theirs.mail": {"queue": "mails"}},
            **settings,
        }
    )
    install(made)
    return made


def parts(made: Celery) -> dict[str, Part]:
    return {part.name: part for part in topology(made)}


def test_every_queue_of_the_settings_has_its_exchange_its_quarantine_and_a_policy() -> None:
    """Also one that only `task_routes` names, with the arguments with which Celery would declare it."""
    found = parts(app())

    assert {queue.name: dict(queue.arguments) for queue in found[TASKS].queues} == {
        "orders": {"x-queue-type": "quorum"},
        "mails": {},
    }
    assert [binding.key for binding in found[TASKS].bindings] == [
        ("orders", "queue", "orders", "orders"),
        ("mails", "queue", "mails", "mails"),
    ]
    assert [queue.name for queue in found["quarantine"].queues] == ["orders.suspects", "mails.suspects"]
    assert [queue.name for queue in found["dead letters"].queues] == ["dead_letters"]
    assert [policy.name for policy in found["policies"].policies] == [
        "proj.dead_letters.orders",
        "proj.dead_letters.mails",
        "proj.dead_letters.dead_letters",
    ]


def test_delays_lead_to_the_queues_and_are_there_with_quorum_queues_alone() -> None:
    """28 levels, and the exchange of what is due."""
    delays = parts(app())[DELAYS]

    assert (len(delays.queues), len(delays.exchanges), delays.required) == (28, 29, False)
    assert ("celery_delayed_delivery", "exchange", "orders", "#.orders") in {each.key for each in delays.bindings}
    assert DELAYS not in parts(app(task_default_queue_type="classic"))


def test_our_own_app_has_the_exchanges_of_its_broadcasts_and_no_queue_of_one_worker() -> None:
    """Its workers make theirs: the broker deletes them by itself."""
    tasks = parts(ours)[TASKS]

    assert {"tasks", "broadcast", "direct", "topic"} <= {exchange.name for exchange in tasks.exchanges}
    assert not [queue.name for queue in tasks.queues if "broadcast" in queue.name]


@pytest.mark.parametrize("kind", ["exchanges", "queues", "bindings", "policies"])
def test_file_has_every_thing_once_and_in_the_virtual_host(kind: str) -> None:
    """RabbitMQ takes it as it is."""
    made = definitions(topology(app()), "v")

    names = [str({key: value for key, value in each.items() if key != "arguments"}) for each in made[kind]]
    assert len(names) == len(set(names))
    assert {each["vhost"] for each in made[kind]} == {"v"}
    assert made["vhosts"] == [{"name": "v"}]
