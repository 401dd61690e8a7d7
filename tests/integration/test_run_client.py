"""The client of the lab's runs publishes with confirm."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from proj.errors import Unroutable
from proj.lab.runs.run_client import RunClient
from proj.tasks import work

if TYPE_CHECKING:
    from proj.lab.broker import Broker

pytestmark = pytest.mark.one_version


def test_run_client_knows_of_a_message_that_the_broker_does_not_take(broker: Broker) -> None:
    """Without confirms a run waited for tasks that were in no queue: the last ones of a connection that was closed."""
    with RunClient(f"run-{secrets.token_hex(4)}", broker=broker) as client:
        connection = client.app.connection_for_write()
        with (
            connection,
            client.app.amqp.Producer(connection) as producer,
            pytest.raises(Unroutable),
        ):
            client.app.send_task(
                work.name, ("x",), exchange="amq.direct", routing_key="nowhere", producer=producer, ignore_result=True
            )
