"""Workers and publishers of a cluster of which a node dies."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from celery import Celery

from proj.broker.app_management import AppManagement
from proj.broker.control_bus import ControlBus
from proj.lab.cluster import Cluster
from proj.lab.drills.drill import Drill
from proj.lab.drills.faults.catalogue import BY_NAME
from proj.lab.drills.system.system_under_test import Needs, SystemUnderTest
from proj.lab.drills.verdict import verdict
from proj.lab.processes.guard import Guard
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that anything may take here, on a busy machine.
TIMEOUT_S = 90.0
VHOST = "failover"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes; a test that kills one leaves it so."""
    with Guard() as guard, Cluster(guard) as cluster:
        yield cluster


@pytest.fixture
def system(cluster: Cluster) -> Iterator[SystemUnderTest]:
    """Two workers and a publisher that know all nodes."""
    with Guard() as guard:
        made = SystemUnderTest(
            VHOST,
            Needs(),
            broker=cluster,
            guard=guard,
            queue_type="quorum",
            dispatch="adaptive",
            cancel=threading.Event(),
        )
        with made:
            yield made


def nodes_of_connections(cluster: Cluster) -> set[str]:
    rows = cluster.management.request("GET", f"vhosts/{VHOST}/connections?columns=node")
    return {row["node"] for row in rows if "node" in row}


def test_nodes_of_a_cluster_with_tls_have_one_ca() -> None:
    """A client has one file for all of them. Nothing is started."""
    with Guard() as guard:
        cluster = Cluster(guard, tls="mutual")
        assert cluster.certificates is not None
        configurations = [(node.folder / "rabbitmq.conf").read_text() for node in cluster.nodes]

        assert all(f"ssl_options.cacertfile = {cluster.certificates.ca}\n" in lines for lines in configurations)
        assert all("ssl_options.fail_if_no_peer_cert = true\n" in lines for lines in configurations)
        assert [url.partition(":")[0] for url in cluster.url().split(";")] == ["amqps"] * 3


@pytest.mark.timeout(400)
def test_drill_in_which_the_leader_is_killed_goes_as_promised(cluster: Cluster) -> None:
    """Nothing is lost, and what was published before is done; a node's loss costs no more than what was in flight."""
    with Guard() as guard:
        result = Drill(
            BY_NAME["leader-killed"],
            queue_type="quorum",
            dispatch="adaptive",
            broker=cluster,
            guard=guard,
            cancel=threading.Event(),
        ).run()

    assert result.complaints == ()
    assert result.rest_s is not None


@pytest.mark.timeout(400)
def test_workers_and_publishers_go_on_when_a_node_is_killed(cluster: Cluster, system: SystemUnderTest) -> None:
    """Nothing is lost, every worker takes tasks again while the node is down, and remote control works."""
    members = cluster.management.request("GET", f"queues/{VHOST}/task_queue")["members"]
    victim = wait_until(
        lambda: [node for node in cluster.nodes if node.name in nodes_of_connections(cluster)],
        what="the connections to be listed",
        timeout_s=TIMEOUT_S,
    )[0]

    with system.hitting(None):
        victim.kill()
    system.wait_for_work_everywhere(TIMEOUT_S)
    system.wait_for_work(25)

    workers = {f"{VHOST}-1@drill", f"{VHOST}-2@drill"}
    with Celery(broker=cluster.url(VHOST), set_as_current=False) as app:
        with ControlBus(app) as bus:
            wait_until(
                lambda: bus.ask("ping", timeout_s=2.0).keys() == workers,
                what="both workers to answer",
                timeout_s=TIMEOUT_S,
            )
            assert all(bus.is_listening(worker) for worker in workers)
        # Of whichever node answers.
        api = AppManagement(app, cluster.management_url)
        assert api.request("GET", f"queues/{VHOST}/task_queue?columns=name") == {"name": "task_queue"}
    system.publisher.terminate()
    wait_until(lambda: not system.publisher.running, what="the end of the publisher", timeout_s=TIMEOUT_S)
    wait_until(lambda: not lost(system), what="the rest of the tasks", timeout_s=TIMEOUT_S)
    assert sorted(members) == [node.name for node in cluster.nodes]


def lost(system: SystemUnderTest) -> tuple[str, ...]:
    records = system.evidence.read()
    return verdict(records, dead=system.client.dead(), guilty=(), hits=system.hits, slots=2).lost
