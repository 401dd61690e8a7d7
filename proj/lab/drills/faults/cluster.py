"""Faults of a cluster: nodes that are killed, restarted or cut off, a leader that moves, and an alarm of one node."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from proj.errors import DeadlinePassed, NoManagement
from proj.lab.cluster import Cluster
from proj.lab.drills.faults.broker import settle
from proj.lab.drills.system.client import CONNECTION_NAME
from proj.lab.drills.system.evidence import CONFIRMED
from proj.lab.drills.system.strike import Hit, NotStruck
from proj.lab.drills.system.system_under_test import WORKERS
from proj.queues import WORK_QUEUE

if TYPE_CHECKING:
    from proj.lab.broker import Broker
    from proj.lab.drills.system.system_under_test import SystemUnderTest

#: Nodes of the cluster: the fewest of which one may fail.
NODES = 3
#: Seconds until work must go on, on a busy machine. RabbitMQ 4.3 may keep what a lost node's consumers hold for 60.
GO_ON_TIMEOUT_S = 150.0
#: Seconds until the broker must show the effect of a command.
NOTICE_TIMEOUT_S = 30.0
#: Seconds without a majority, with an alarm, and for which a node is cut off. The alarm is longer than the 8 s after
#: which a publisher changes nodes when nothing is answered; it must not do so because of an alarm.
NO_MAJORITY_S, ALARM_S, CUT_OFF_S = 5.0, 10.0, 20.0
#: How often the leader is moved.
MOVES = 3
#: Bytes that no disk has free, and RabbitMQ's default.
NEVER_FREE, USUAL_FREE = "1000000000000000", "50000000"


def kill_leader(system: SystemUnderTest) -> str:
    """SIGKILL the node that leads the queue, and start it again when all that was published before is done."""
    return _lose(system, _leader(system), "leader")


def kill_follower(system: SystemUnderTest) -> str:
    """SIGKILL a node that follows the leader of the queue, likewise; the one with more connections."""
    leader, counts = _leader(system), _connections(system)
    return _lose(system, max(_others(system, leader), key=lambda node: counts[node.name]), "follower")


def kill_majority(system: SystemUnderTest) -> str:
    """SIGKILL the leader and another node, and start one of the two again after a while; the other one at the end.

    Raises:
        NotStruck: publishers went on without a majority.
    """
    settle(system)
    victims = (_leader(system), _others(system, _leader(system))[0])
    with system.hitting(None):
        for node in victims:
            node.kill()
        confirmed = system.count(CONFIRMED)
        system.pause(NO_MAJORITY_S)
        # One confirm may have been on its way.
        if system.count(CONFIRMED) > confirmed + 1:
            raise NotStruck("Publishes were confirmed by one node of three.")
        victims[0].start()
    _go_on(system)
    _cluster(system).start()
    return f"two of {NODES} killed, {system.hits[0].length_s:.1f} s until one of them answered again"


def kill_all(system: SystemUnderTest) -> str:
    """SIGKILL all nodes, and start them again with their data."""
    settle(system)
    pids = [node.pid for node in _cluster(system).nodes]
    with system.hitting(None):
        _cluster(system).kill()
        _cluster(system).start()
    if set(pids) & {node.pid for node in _cluster(system).nodes}:
        raise NotStruck("A node has the same process.")
    _go_on(system)
    return f"all killed, {system.hits[0].length_s:.1f} s until all of them knew each other again"


def restart_in_turn(system: SystemUnderTest) -> str:
    """Stop one node after the other in order, and start it again before the next one."""
    with system.watching() as began:
        for node in _cluster(system).nodes:
            # What its clients were doing when it stopped, and what they held.
            system.hits.append(Hit(began=time.time(), ended=time.time()))
            with system.hitting(system.all_windows):
                node.end()
                _cluster(system).start()
                system.wait_for_new_work(GO_ON_TIMEOUT_S)
        system.wait_for_old_work(began, GO_ON_TIMEOUT_S)
    return f"{NODES} nodes restarted in turn"


def cut_off(system: SystemUnderTest) -> str:
    """Cut the node with most connections off from the other two, but not from its clients.

    Raises:
        NotStruck: it had a connection to another node all the same.
    """
    counts = _connections(system)
    victim = max(_cluster(system).nodes, key=lambda node: counts[node.name])
    names = ", ".join(f"'{node.name}'" for node in _others(system, victim))
    # The command takes seconds to begin, so the node tells the moment.
    told = victim.order(
        "eval",
        f"[erlang:set_cookie(N, cut_off) || N <- [{names}]], Now = erlang:system_time(millisecond), "
        f"[erlang:disconnect_node(N) || N <- [{names}]], Now.",
    )
    began = int(told) / 1000
    system.hits.append(Hit(began=began, ended=time.time()))
    with system.watching(began):
        with system.hitting(system.all_windows):
            # A client of this node may have to wait.
            with contextlib.suppress(DeadlinePassed):
                system.wait_for_new_work(CUT_OFF_S)
            system.pause(max(0.0, began + CUT_OFF_S - time.time()))
            if (known := victim.order("eval", "nodes().").strip()) != "[]":
                raise NotStruck(f"{victim.name} had a connection to {known}.")
            victim.order(
                "eval",
                f"[erlang:set_cookie(N, erlang:get_cookie()) || N <- [{names}]], [net_adm:ping(N) || N <- [{names}]].",
            )
            system.wait_for_new_work(GO_ON_TIMEOUT_S)
        system.wait_for_old_work(began, GO_ON_TIMEOUT_S)
    _cluster(system).start()
    return f"{victim.name} with {counts[victim.name]} connections cut off for {system.hits[-1].length_s:.0f} s"


def move_leader(system: SystemUnderTest) -> str:
    """Transfer the lead of the queue to another node, several times; this is no hit: nothing may run twice."""
    with system.watching() as began:
        for _ in range(MOVES):
            leader = _leader(system)
            goal = _others(system, leader)[0]
            queue = f'rabbit_misc:r(<<"{system.name}">>, queue, <<"{WORK_QUEUE}">>)'
            done = goal.order(
                "eval",
                f"{{ok, Q}} = rabbit_amqqueue:lookup({queue}), "
                f"rabbit_quorum_queue:transfer_leadership(Q, '{goal.name}').",
            )
            # {migrated, node} before RabbitMQ 4.3, and since then {ok, node}.
            if "not_migrated" in done or "error" in done:
                raise NotStruck(f"The lead was not transferred from {leader.name} to {goal.name}: {done.strip()}")
            system.wait(
                partial(_leads, system, goal),
                what=f"{goal.name} to lead",
                timeout_s=NOTICE_TIMEOUT_S,
            )
            system.wait_for_work()
        system.wait_for_old_work(began, GO_ON_TIMEOUT_S)
    return f"lead transferred {MOVES} times"


def alarm_one_disk(system: SystemUnderTest) -> str:
    """Raise the disk alarm of one node, upon which all nodes block publishers; nothing may run twice.

    Raises:
        NotStruck: publishes were confirmed during the alarm.
    """
    node = _cluster(system).nodes[-1]
    node.order("set_disk_free_limit", NEVER_FREE)
    try:
        system.wait(lambda: _has_alarm(node), what="the disk alarm", timeout_s=NOTICE_TIMEOUT_S)
        confirmed = system.count(CONFIRMED)
        system.pause(ALARM_S)
        through = system.count(CONFIRMED) - confirmed
    finally:
        node.order("set_disk_free_limit", USUAL_FREE)
    with system.watching() as began:
        system.wait(lambda: not _has_alarm(node), what="the end of the disk alarm", timeout_s=NOTICE_TIMEOUT_S)
        system.wait_for_new_work(GO_ON_TIMEOUT_S)
        system.wait_for_old_work(began, GO_ON_TIMEOUT_S)
    if through > 1:
        raise NotStruck(f"{through} publishes were confirmed during the disk alarm.")
    return f"all publishers blocked for {ALARM_S:g} s by the alarm of {node.name}"


def _lose(system: SystemUnderTest, victim: Broker, role: str) -> str:
    settle(system)
    with system.hitting(None):
        victim.kill()
    _go_on(system)
    _cluster(system).start()
    system.wait_for_work_everywhere(GO_ON_TIMEOUT_S)
    return f"{victim.name}, a {role}, killed, and started again when the rest was done"


def _go_on(system: SystemUnderTest) -> None:
    """Wait until new tasks are done, and all that were published before; until then workers may hold what is gone."""
    with system.watching() as began:
        with system.hitting(system.all_windows):
            system.wait_for_new_work(GO_ON_TIMEOUT_S)
        system.wait_for_old_work(began, GO_ON_TIMEOUT_S)


def _cluster(system: SystemUnderTest) -> Cluster:
    if not isinstance(system.broker, Cluster):
        raise NotStruck("The broker is no cluster.")
    return system.broker


def _others(system: SystemUnderTest, node: Broker) -> list[Broker]:
    return [other for other in _cluster(system).nodes if other is not node]


def _leader(system: SystemUnderTest) -> Broker:
    """The node that leads the queue.

    Raises:
        NotStruck: the queue has not a member on each node.
    """

    def leaders() -> list[Broker]:
        with contextlib.suppress(NoManagement):
            row = cluster.management.request("GET", f"queues/{quote(system.name, safe='')}/{WORK_QUEUE}")
            if len(row.get("members", ())) != len(cluster.nodes):
                raise NotStruck(f"The queue has members on {row.get('members')} only.")
            return [node for node in cluster.nodes if node.name == row.get("leader")]
        return []

    cluster = _cluster(system)
    return system.wait(leaders, what="the leader of the queue to be listed", timeout_s=NOTICE_TIMEOUT_S)[0]


def _leads(system: SystemUnderTest, node: Broker) -> bool:
    return _leader(system) is node


def _connections(system: SystemUnderTest) -> Counter[str]:
    """How many connections of workers and publisher each node has, by the node's name."""

    def several() -> Counter[str]:
        path = f"vhosts/{quote(system.name, safe='')}/connections"
        rows = _cluster(system).management.request("GET", path)
        counts = Counter(
            row["node"]
            for row in rows
            if "node" in row and row.get("client_properties", {}).get("connection_name") != CONNECTION_NAME
        )
        # The API lists a connection up to five seconds late.
        return counts if counts.total() > WORKERS else Counter()

    return system.wait(several, what="the connections to be listed", timeout_s=NOTICE_TIMEOUT_S)


def _has_alarm(node: Broker) -> bool:
    return "disk" in node.order("eval", "rabbit_alarm:get_alarms().")
