"""Several URLs of a broker: which of them a connection of an app begins with."""

from __future__ import annotations

from celery import Celery

from proj.delivery.publishing.confirm_publishing import confirm_publishing

NODES = [f"amqp://me@127.0.0.1:{port}//" for port in (1, 2, 3)]


def test_connections_of_an_app_begin_with_any_of_its_brokers_and_know_all() -> None:
    """With the first of them, one node of a cluster would have all connections."""
    app = Celery(broker=";".join(NODES), set_as_current=False)
    confirm_publishing(app)

    made = [app.connection_for_write() for _ in range(100)]

    assert {connection.port for connection in made} == {1, 2, 3}
    assert all(sorted(connection.alt) == NODES for connection in made)


def test_connection_goes_on_to_each_of_the_other_brokers() -> None:
    """A node that is down is passed over."""
    app = Celery(broker=NODES, set_as_current=False)
    confirm_publishing(app)
    connection = app.connection_for_write()
    seen = {connection.port}

    for _ in NODES[1:]:
        connection.maybe_switch_next()
        seen.add(connection.port)

    assert seen == {1, 2, 3}


def test_clone_of_a_connection_knows_all_brokers() -> None:
    """The commands that read dead letters publish over a clone."""
    app = Celery(broker=";".join(NODES), set_as_current=False)
    confirm_publishing(app)

    assert sorted(app.connection_for_write().clone().alt) == NODES
