"""Where the management API of an app's broker is looked for."""

from __future__ import annotations

import pytest
from celery import Celery

from proj.broker.app_management import AppManagement
from proj.errors import NoManagement


def test_api_beside_a_broker_is_on_the_usual_port_with_any_password() -> None:
    """Characters that have a meaning in a URL are quoted."""
    app = Celery(broker="amqp://me:a%3Ab%40c%2Fd@host:5700//", set_as_current=False)

    assert AppManagement(app).page == "http://host:15672/"


def test_api_with_an_address_is_looked_for_there() -> None:
    """The address goes before the broker's host."""
    app = Celery(broker="amqp://host//", set_as_current=False)

    assert AppManagement(app, "http://me:secret@elsewhere:1234/api/").page == "http://elsewhere:1234/"


def test_api_beside_a_cluster_is_looked_for_on_each_of_its_hosts() -> None:
    """A host that several nodes share is asked once."""
    app = Celery(
        broker="amqp://me:a@one.invalid//;amqp://me:b@two.invalid:5673//;amqp://me:b@two.invalid:5674//",
        set_as_current=False,
    )

    with pytest.raises(NoManagement) as caught:
        AppManagement(app).request("GET", "overview")

    assert (
        caught.value.message.count("http://one.invalid:15672")
        == caught.value.message.count("http://two.invalid:15672")
        == 1
    )
