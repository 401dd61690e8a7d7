"""The management API of an app's broker, and that of another broker, on two real brokers."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

import pytest
from celery import Celery

from proj.broker.app_management import AppManagement
from proj.errors import EXIT_USAGE, NoManagement, OtherBroker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.broker import Broker


class User(NamedTuple):
    """A user of a broker with few rights."""

    amqp: str
    api: str


@contextmanager
def user(broker: Broker, vhost: str | None, *, tags: str = "management", configure: str = ".*") -> Iterator[User]:
    """A new user; with a virtual host, it may use that over AMQP, and declare what `configure` allows."""
    name, request = f"user-{secrets.token_hex(4)}", broker.management.request
    request("PUT", f"users/{name}", {"password": "x", "tags": tags})
    if vhost is not None:
        rights = {"configure": configure, "write": ".*", "read": ".*"}
        request("PUT", f"permissions/{quote(vhost, safe='')}/{name}", rights)
    yield User(
        f"amqp://{name}:x@127.0.0.1:{broker.port}/{quote(vhost or '/', safe='')}",
        f"http://{name}:x@127.0.0.1:{broker.management_port}/api/",
    )
    request("DELETE", f"users/{name}")


@contextmanager
def cluster_name(broker: Broker, name: str) -> Iterator[None]:
    """Another name of the broker's cluster, in the block."""
    before = broker.management.request("GET", "cluster-name")
    broker.management.request("PUT", "cluster-name", {"name": name})
    yield
    broker.management.request("PUT", "cluster-name", before)


def management(amqp: str, api: str) -> AppManagement:
    return AppManagement(Celery(broker=amqp, set_as_current=False), api)


@pytest.mark.parametrize("tags", ["management", "policymaker", "monitoring", "administrator"])
def test_api_of_the_same_broker_answers_every_user_who_may_ask_it(broker: Broker, vhost: str, tags: str) -> None:
    """No right beyond those of the request itself is needed."""
    with user(broker, vhost, tags=tags) as one:
        assert management(one.amqp, one.api).request("GET", f"queues/{vhost}")


def test_api_of_another_broker_of_the_same_name_is_refused(broker: Broker, other_broker: Broker) -> None:
    """RabbitMQ names a cluster after its host, so the names tell nothing when both are on one host."""
    names = [each.management.request("GET", "cluster-name") for each in (broker, other_broker)]
    assert names[0] == names[1]

    with pytest.raises(OtherBroker) as caught:
        management(broker.url(), other_broker.management_url).request("PUT", "policies/%2F/ours", {})

    assert caught.value.exit_code == EXIT_USAGE
    assert f"127.0.0.1:{broker.port}" in caught.value.message
    assert f"127.0.0.1:{other_broker.management_port}" in caught.value.message
    assert broker.password not in caught.value.message


def test_api_of_another_broker_of_another_name_is_refused_without_the_right_to_declare(
    broker: Broker, vhost: str, other_broker: Broker
) -> None:
    """The names are enough, and the error has both."""
    with (
        cluster_name(other_broker, "rabbit@elsewhere"),
        user(broker, vhost, configure="^$") as one,
        pytest.raises(OtherBroker) as caught,
    ):
        management(one.amqp, other_broker.management_url).request("GET", "queues")

    assert (caught.value.name, caught.value.expected) == (
        "rabbit@elsewhere",
        broker.management.request("GET", "cluster-name")["name"],
    )


def test_api_of_the_same_name_is_used_where_the_user_of_amqp_may_not_declare(broker: Broker, vhost: str) -> None:
    """Nothing more can be told, and a user who only reads must be able to."""
    with user(broker, vhost, configure="^$") as one:
        assert management(one.amqp, broker.management_url).request("GET", f"queues/{vhost}")


def test_user_of_the_api_without_the_virtual_host_gets_its_own_refusal(broker: Broker, vhost: str) -> None:
    """It sees no queue there, which does not make it another broker."""
    with user(broker, None) as one, pytest.raises(NoManagement):
        management(broker.url(vhost), one.api).request("GET", f"queues/{vhost}")


def test_api_of_a_broker_that_lacks_the_virtual_host_is_refused(
    broker: Broker, vhost: str, other_broker: Broker
) -> None:
    """An administrator would see it, so it is another broker."""
    with pytest.raises(OtherBroker):
        management(broker.url(vhost), other_broker.management_url).request("GET", f"queues/{vhost}")


def test_check_leaves_no_queue(broker: Broker, vhost: str) -> None:
    """The queue by which the broker is recognised is gone with its connection."""
    before = broker.management.request("GET", f"queues/{vhost}?columns=name")

    assert management(broker.url(vhost), broker.management_url).request("GET", f"queues/{vhost}?columns=name") == before
