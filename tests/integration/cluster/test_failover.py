"""Workers and publishers of a cluster of which a node dies."""

from __future__ import annotations

import os
import random
import re
import secrets
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from kombu import Connection

from proj.broker.app_management import AppManagement
from proj.broker.control_bus import ControlBus
from proj.broker.version import BrokerVersion
from proj.commands.health import health
from proj.commands.queues.command import queues
from proj.delivery.send_many import send_many
from proj.journal.recording.recorder import Recorder
from proj.lab.cluster import Cluster
from proj.lab.drills.drill import Drill
from proj.lab.drills.faults.catalogue import BY_NAME
from proj.lab.drills.system.system_under_test import Needs, SystemUnderTest
from proj.lab.drills.verdict import verdict
from proj.lab.processes.guard import Guard
from proj.lab.processes.waiting import wait_until
from proj.messaging import MessageQueue
from proj.queues import WORK_QUEUE, work_queue
from tests.integration.cluster.clients import QUEUE, Clients, consuming
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import click

    from proj.lab.processes.process import Process

#: Seconds that anything may take here, on a busy machine.
TIMEOUT_S = 90.0
VHOST = "failover"
#: Tasks that are published while a node dies.
TASKS = 2000
#: A message that is leased before RabbitMQ 4.3, and whose task ends while the test looks.
LONG = "long" + 200 * "."
#: Seconds in which a command must end without a majority.
COMMAND_S = 30.0
#: Seconds for which a result is tried, and seconds in which a task is done while those of another caller wait.
TRIED_S, GO_ON_S = 8, 30.0
#: A reply queue on the last node.
AWAY = "away"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Three nodes; a test that kills one leaves it so, and one that needs all of them starts it."""
    with Guard() as guard, Cluster(guard) as cluster:
        yield cluster


@pytest.fixture
def system(cluster: Cluster) -> Iterator[SystemUnderTest]:
    """Two workers and a publisher that know all nodes."""
    cluster.start()
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


@pytest.mark.one_version
@pytest.mark.timeout(400)
def test_drill_in_which_the_leader_is_killed_goes_as_promised(cluster: Cluster) -> None:
    """Nothing is lost, and what was published before is done; a node's loss costs no more than what was in flight."""
    cluster.start()
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
def test_message_that_a_client_of_a_killed_node_held_comes_back_soon(cluster: Cluster) -> None:
    """RabbitMQ 4.3 keeps it for a minute without our policy."""
    cluster.start()
    cluster.add_vhost("held")
    other, victim = cluster.nodes[0], cluster.nodes[-1]
    with Connection(other.url("held")) as there, Connection(victim.url("held")) as holder:
        work_queue("quorum")(there.default_channel).declare()
        there.Producer().publish(b"", routing_key=WORK_QUEUE)
        wait_until(
            lambda: holder.default_channel.basic_get(WORK_QUEUE), what="the message to be held", timeout_s=TIMEOUT_S
        )
        again: list[object] = []
        there.default_channel.basic_consume(WORK_QUEUE, callback=again.append)
        victim.kill()

        def has_come() -> bool:
            with suppress(TimeoutError):
                there.drain_events(timeout=1)
            return bool(again)

        wait_until(has_come, what="the message again", timeout_s=60)


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


@pytest.fixture
def clients(cluster: Cluster, guard: Guard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Of a whole cluster; all begin with its first node."""
    cluster.start()
    if (vhost := "clients") not in {each["name"] for each in cluster.management.request("GET", "vhosts?columns=name")}:
        cluster.add_vhost(vhost)
    monkeypatch.setattr(random, "shuffle", lambda _: None)
    made = Clients(cluster, vhost, guard, tmp_path)
    yield made
    # What its app has left open, such as the connection on which results come.
    made.app.close()


@pytest.mark.timeout(400)
def test_clients_go_on_when_the_node_that_they_are_connected_to_is_killed(
    cluster: Cluster, clients: Clients, tmp_path: Path
) -> None:
    """What is published is confirmed and there; results, texts, events, counts, letters, a lease, commands go on."""
    app, worker, page = clients.app, clients.worker(), clients.dashboard()
    task, confirmed = app.signature("clients.task", queue=QUEUE), set()

    def confirm(task_id: str) -> None:
        confirmed.add(task_id)
        if len(confirmed) == TASKS // 4:
            cluster.nodes[0].kill()

    def is_worked_on() -> bool:
        return app.send_task("proj.tasks.work", ("short",), queue="task_queue").get(timeout=TIMEOUT_S) is not None

    with (
        worker,
        page.process,
        MessageQueue("texts", clients.url) as publisher,
        consuming(MessageQueue("texts", clients.url)) as texts,
        Recorder(app, tmp_path / "run.sqlite", broker_api=clients.api) as recorder,
    ):
        wait_until_ready(worker)
        app.send_task("proj.tasks.work", (LONG,), queue="task_queue", ignore_result=True)
        app.send_task("nobody.knows", queue="task_queue", ignore_result=True)
        wait_until(lambda: clients.letters() == 1, what="the first dead letter", timeout_s=TIMEOUT_S)
        wait_until(lambda: page.heard() > 0, what="the page", timeout_s=TIMEOUT_S)
        if not cluster.version.lets_consumers_set_timeout:
            wait_until(lambda: "is leased" in worker.log_text(), what="the lease", timeout_s=TIMEOUT_S)
        assert is_worked_on()
        assert texts_go_on(publisher, texts)

        progress = send_many((task.clone((number,)) for number in range(TASKS)), app=app, on_confirmed=confirm)
        later = {task.delay(number).id for number in range(5)}
        heard, recorded = page.heard(), recorder.written
        app.send_task("nobody.knows", queue="task_queue", ignore_result=True)

        assert is_worked_on()
        assert texts_go_on(publisher, texts)
        wait_until(lambda: clients.letters() == 2, what="the second dead letter", timeout_s=TIMEOUT_S)
        wait_until(lambda: recorder.written > recorded, what="an event in the journal", timeout_s=TIMEOUT_S)
        wait_until(lambda: page.heard() > heard, what="an event on the page", timeout_s=TIMEOUT_S)
        wait_until(lambda: page.ready(QUEUE) >= TASKS, what="the counts on the page", timeout_s=TIMEOUT_S)
        wait_until(lambda: clients.command(health)[0] == 0, what="the worker to be healthy", timeout_s=TIMEOUT_S)
        for words in ((), ("pause", "task_queue"), ("resume", "task_queue"), ("dead", "--requeue", "--all")):
            assert clients.command(queues, *words)[0] == 0
        assert clients.command(queues, "halt", "--worker", "clients@host")[0] == 0

    assert (progress.confirmed, len(confirmed)) == (TASKS, TASKS)
    assert confirmed | later <= clients.ids()
    # Without a lease a task is delivered again when the worker's node dies.
    times = worker.log_text().count(f"[x] Received '{LONG}'")
    assert 1 <= times <= (2 if cluster.version.lets_consumers_set_timeout else 1)


def lost_ids(worker: Process) -> set[str]:
    """The tasks whose results the worker says are lost."""
    return set(re.findall(r"The task (\S+) ran, and its result is lost", worker.log_text()))


@pytest.mark.timeout(400)
def test_caller_whose_node_hangs_or_is_down_holds_up_no_other(cluster: Cluster, clients: Clients) -> None:
    """Its reply queue is on that node. Its tasks are done once, none is a dead letter, lost results are counted."""
    app, victim = clients.app, cluster.nodes[-1]
    worker = clients.worker(f"proj_publish_timeout_s=(float){TRIED_S}")
    ours, theirs = [f"ours {number}.." for number in range(6)], [f"theirs {number}.." for number in range(20)]

    ids: list[str] = []

    def goes_on(ours: list[str], theirs: list[str]) -> bool:
        ids.extend(app.send_task("proj.tasks.work", (text,), queue="task_queue", reply_to=AWAY).id for text in theirs)
        results = [app.send_task("proj.tasks.work", (text,), queue="task_queue") for text in ours]
        return [result.get(timeout=GO_ON_S)["message"] for result in results] == ours

    with worker, Connection(victim.url("clients")) as caller, clients.lost_results() as lost:
        wait_until_ready(worker)
        caller.default_channel.queue_declare(AWAY, durable=True, auto_delete=False)
        assert goes_on(ours[:2], theirs[:2])
        caller.collect()
        try:
            os.killpg(victim.pid, signal.SIGSTOP)
            assert goes_on(ours[2:4], theirs[2:15])
            # RabbitMQ 3.10 confirms what is for a queue that is down, once it knows.
            is_told = cluster.version >= BrokerVersion(4, 0)
            if is_told:
                wait_until(lambda: set(ids[2:]) <= lost_ids(worker), what="the lost results", timeout_s=TIMEOUT_S)
        finally:
            victim.kill()
        assert goes_on(ours[4:], theirs[15:])
        if is_told:
            wait_until(lambda: set(ids[2:]) <= lost_ids(worker), what="the others", timeout_s=TIMEOUT_S)
            # The confirm of the first two may have been on its way when the node hung.
            wait_until(lambda: lost() == len(lost_ids(worker)), what="the count of all", timeout_s=TIMEOUT_S)

        assert {text: worker.log_text().count(f"[x] Received {text!r}") for text in ours + theirs} == dict.fromkeys(
            ours + theirs, 1
        )
        # Those of earlier tests may come back meanwhile.
        letters = clients.bodies_of_letters()
        assert [text for text in ours + theirs if text in letters] == []


@pytest.mark.one_version
@pytest.mark.timeout(300)
def test_command_without_a_majority_ends_with_a_sentence_that_says_so(cluster: Cluster, clients: Clients) -> None:
    """One of three nodes is left: what it can tell is told, and no command waits for the others."""
    listed = cluster.nodes[-1].management.request
    # The last node may learn of the virtual host a moment later than the others, and then never.
    wait_until(lambda: listed("GET", "queues/clients?columns=name"), what="its queues", timeout_s=TIMEOUT_S)
    for node in cluster.nodes[:2]:
        node.kill()

    def is_told(command: click.Command) -> bool:
        began = time.monotonic()
        code, printed = clients.command(command)
        assert time.monotonic() - began < COMMAND_S
        # Before 4.3 a node without a majority closes its connections, and refuses others: then code 3 and one error.
        is_refused = code == 3 and "Error: " in printed
        return is_refused or "no majority: lab3@localhost answers, lab1@localhost, lab2@localhost do not" in printed

    # For a moment the last node does not know it.
    for command in (queues, health):
        wait_until(lambda command=command: is_told(command), what="the sentence", timeout_s=TIMEOUT_S)


def texts_go_on(publisher: MessageQueue, texts: list[str]) -> bool:
    """Publish a text, and return when the consumer has it."""
    publisher.publish(text := secrets.token_hex(4))
    return wait_until(lambda: text in texts, what="the text", timeout_s=TIMEOUT_S)


def lost(system: SystemUnderTest) -> tuple[str, ...]:
    records = system.evidence.read()
    return verdict(records, dead=system.client.dead(), guilty=(), hits=system.hits, window=system.window).lost
