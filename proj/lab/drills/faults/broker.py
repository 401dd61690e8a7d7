"""Faults of the broker: restart, kill, closed connections, blocked publishers, a full queue, consumer timeouts."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from amqp.exceptions import MessageNacked
from celery.utils import uuid

from proj.broker.queue_depths import depths_by_management
from proj.delivery.dead_letters.queue_policy import LOST_NODE_KEY
from proj.errors import DeadlinePassed, NoManagement
from proj.lab.drills.system.client import CONNECTION_NAME
from proj.lab.drills.system.evidence import CONFIRMED
from proj.lab.drills.system.strike import NotStruck
from proj.lab.drills.system.system_under_test import TASK_S, WORKERS
from proj.queues import DEAD_LETTERS, QUORUM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.drills.system.system_under_test import SystemUnderTest

#: Seconds that a queue must exist before its broker is killed. RabbitMQ 3.10 may lose a queue that was declared just
#: before, because Mnesia writes its log with a delay.
SETTLED_S = 6.0
#: How often all connections are closed.
CLOSURES = 3
#: Seconds for which publishers are blocked.
BLOCKED_S = 4.0
#: Seconds until the broker must show the effect of a command.
NOTICE_TIMEOUT_S = 20.0
#: Keys of a policy for quorum queues only. RabbitMQ applies a policy with one of them to no classic queue.
QUORUM_KEYS = {"dead-letter-strategy", "delivery-limit", "queue-leader-locator", LOST_NODE_KEY}
#: The length limit of the full queue.
FULL = 10
#: Messages that expire.
EXPIRING = 10
#: Seconds for which the queue stays full.
FULL_S = 3.0
#: Seconds of the broker's consumer timeout in the drills of it. With a load of 85 on two cores, deliveries of tasks of
#: 0.1 s took longer than four.
CONSUMER_TIMEOUT_S = 8
#: Seconds of a task that takes longer than that.
LONG_S = 17.0
#: Seconds in the drill of a lease: of the broker's consumer timeout, after four fifths of which a worker takes the
#: lease; of the task; and of an alarm that begins then. It is longer than the lease of 10 s, and shorter than the
#: timeout, after which the broker takes back also what a worker holds in place of its lease.
LEASE_TIMEOUT_S, LEASED_S, LEASE_BLOCKED_S = 40, 90.0, 20.0
#: RabbitMQ's default fraction of the memory above which it blocks publishers.
USUAL_WATERMARK = "0.4"


def restart(system: SystemUnderTest) -> str:
    """Stop the broker in order, and start it again."""
    pid = system.broker.pid
    with system.hitting(None):
        system.broker.restart()
    _refuse_same(pid, system.broker.pid)
    return f"restarted, down for {system.hits[-1].length_s:.1f} s"


def kill(system: SystemUnderTest) -> str:
    """SIGKILL the broker, and start it again with its data."""
    settle(system)
    pid = system.broker.pid
    with system.hitting(None):
        system.broker.kill()
        system.broker.start()
    _refuse_same(pid, system.broker.pid)
    return f"killed, down for {system.hits[-1].length_s:.1f} s"


def close_connections(system: SystemUnderTest) -> str:
    """Close all connections of workers and publisher over the management API, several times."""
    closed = 0
    for _ in range(CLOSURES):
        # The API lists a connection up to five seconds late.
        names = system.wait(
            lambda: _several(_connections(system)), what="the connections to be listed", timeout_s=NOTICE_TIMEOUT_S
        )
        system.wait_for_work()
        with system.hitting(system.all_windows):
            system.wait(
                partial(_all_closed, system, names), what="the connections to be gone", timeout_s=NOTICE_TIMEOUT_S
            )
        closed += len(names)
        system.wait_for_work()
    return f"{closed} connections closed in {CLOSURES} rounds"


def block_publishers(system: SystemUnderTest) -> str:
    """Raise the memory alarm: RabbitMQ reads nothing from a connection that publishes."""
    with system.hitting(system.all_windows), _alarmed(system):
        confirmed = system.count(CONFIRMED)
        system.pause(BLOCKED_S)
        through = system.count(CONFIRMED) - confirmed
    # One message may have been on its way when the alarm came.
    if through > 1:
        raise NotStruck(f"{through} publishes were confirmed during the memory alarm.")
    return f"publishers blocked for {BLOCKED_S:g} s"


def block_leases(system: SystemUnderTest) -> str:
    """Raise the memory alarm while a long task has a lease, for longer than that: it must run only once, as all others.

    Where a consumer has its own timeout there is no lease.

    Raises:
        NotStruck: the task was over before the alarm was.
    """
    task = system.client.send("linger", LEASED_S, TASK_S)
    is_leased = not system.broker.version.lets_consumers_set_timeout
    system.wait(
        lambda: _has_lease(system) if is_leased else system.starts(task),
        what="a lease" if is_leased else "the long task",
        timeout_s=NOTICE_TIMEOUT_S + LEASE_TIMEOUT_S,
    )
    # This is no hit: nothing may run twice because of the alarm.
    with _alarmed(system):
        system.pause(LEASE_BLOCKED_S)
    if task in system.finished():
        raise NotStruck("The long task was over before the alarm was.")
    system.wait(lambda: task in system.finished(), what="the long task to be done", timeout_s=LEASED_S * 2)
    held = sum(worker.process.log_text().count("cannot be renewed") for worker in system.workers)
    return (
        f"publishers blocked for {LEASE_BLOCKED_S:g} s beside {'a lease' if is_leased else 'a long task'} "
        f"(held {held} times), which started {_times(system, task)}"
    )


def fill_queue(system: SystemUnderTest) -> str:
    """Fill the queue with overflow `reject-publish`: the broker rejects what is published."""
    there = quote(system.name, safe="")
    policies = system.broker.management.request("GET", f"policies/{there}")
    (usual,) = (policy for policy in policies if policy["name"] == "work")
    definition = {
        **{
            key: value
            for key, value in usual["definition"].items()
            if system.queue_type == QUORUM or key not in QUORUM_KEYS
        },
        "max-length": FULL,
        "overflow": "reject-publish",
    }
    narrow = {**usual, "priority": max(policy["priority"] for policy in policies) + 1, "definition": definition}
    with system.hitting(system.all_windows), _stopped(system):
        system.broker.management.request("PUT", f"policies/{there}/full", narrow)
        refused = system.wait(
            lambda: _refused(system), what="the broker to reject a message", timeout_s=NOTICE_TIMEOUT_S
        )
    system.pause(FULL_S)
    system.broker.management.request("DELETE", f"policies/{there}/full")
    return f"full at {FULL} messages; a publish was rejected ({refused})"


def delete_dead_letters(system: SystemUnderTest) -> str:
    """Delete the queue of dead letters; what expires after the workers have made it again is kept.

    Raises:
        NotStruck: nothing expired.
    """
    there, name = quote(system.name, safe=""), quote(DEAD_LETTERS, safe="")
    system.broker.management.request("DELETE", f"queues/{there}/{name}")
    began = time.monotonic()
    system.wait(
        lambda: _is_there(system, f"bindings/{there}/e/{name}/q/{name}"),
        what="the queue of dead letters with its binding",
        timeout_s=NOTICE_TIMEOUT_S,
    )
    away_s = time.monotonic() - began
    with _stopped(system):
        for _ in range(EXPIRING):
            task_id: str = uuid()
            system.guilty.add(task_id)
            system.client.send("note", TASK_S, task_id=task_id, expiration=0.001)
    system.wait(lambda: system.guilty & system.client.dead().keys(), what="a dead letter", timeout_s=NOTICE_TIMEOUT_S)
    return f"deleted, and made again after {away_s:.1f} s; then {EXPIRING} messages that expire"


def expire_delivery(system: SystemUnderTest) -> str:
    """Run a task that takes longer than the broker's consumer timeout the first time, on workers with no remedy.

    Where RabbitMQ cancels the consumer, only the long task may be run again; where it closes the channel, all tasks.
    """
    is_alone = system.broker.version.cancels_at_timeout
    task = system.client.send("linger", LONG_S, TASK_S)
    with system.hitting(1 if is_alone else system.all_windows):
        system.wait(
            lambda: "timed out" in system.broker.log_text() or len(system.starts(task)) > 1,
            what="the broker's consumer timeout",
            timeout_s=NOTICE_TIMEOUT_S + CONSUMER_TIMEOUT_S,
        )
        system.wait_for_work()
        # The redelivery, which a worker may hold back until the first execution has ended.
        with contextlib.suppress(DeadlinePassed):
            system.wait(lambda: len(system.starts(task)) > 1, what="the redelivery", timeout_s=CONSUMER_TIMEOUT_S * 2)
    ended = "the consumer was cancelled" if is_alone else "the channel was closed"
    return f"delivery timed out and {ended}, the long task started {_times(system, task)}"


def outlast_timeout(system: SystemUnderTest) -> str:
    """Run a task longer than the consumer timeout, on workers that know the timeout: it must run only once.

    Raises:
        NotStruck: the broker has another timeout, or the message was not kept as on this RabbitMQ.
    """
    is_leased = False

    def is_done() -> bool:
        nonlocal is_leased
        is_leased = is_leased or _has_lease(system)
        return task in system.finished()

    task = system.client.send("linger", LONG_S, TASK_S)
    system.wait(is_done, what="the long task to be done", timeout_s=LONG_S + NOTICE_TIMEOUT_S)
    waits = system.broker.order("eval", "application:get_env(rabbit, consumer_timeout).")
    if str(CONSUMER_TIMEOUT_S * 1000) not in waits:
        raise NotStruck(f"The broker's consumer timeout is {waits}.")
    if is_leased == system.broker.version.lets_consumers_set_timeout:
        raise NotStruck(f"The message was {'' if is_leased else 'not '}leased.")
    kept = "by a lease" if is_leased else "by x-consumer-timeout"
    return (
        f"a task of {LONG_S:g} s, with a consumer timeout of {CONSUMER_TIMEOUT_S} s, kept its message {kept} and "
        f"started {_times(system, task)}"
    )


def settle(system: SystemUnderTest) -> None:
    """Return when the queue is so old that a SIGKILL of the broker cannot lose it."""
    system.wait(lambda: time.time() >= system.since + SETTLED_S, what="the queue to settle", timeout_s=SETTLED_S + 1)


def _has_lease(system: SystemUnderTest) -> bool:
    """Whether a worker has leased a message; the management API lists a queue as soon as it is declared."""
    with contextlib.suppress(NoManagement):
        return any(".lease." in depth.name for depth in depths_by_management(system.broker.management, system.name))
    return False


def _times(system: SystemUnderTest, task_id: str) -> str:
    count = len(system.starts(task_id))
    return "once" if count == 1 else f"{count} times"


def _connections(system: SystemUnderTest) -> list[str]:
    """The names of the connections of workers and publisher."""
    there = quote(system.name, safe="")
    return [
        connection["name"]
        for connection in system.broker.management.request("GET", f"vhosts/{there}/connections")
        if "name" in connection and connection.get("client_properties", {}).get("connection_name") != CONNECTION_NAME
    ]


def _several(names: list[str]) -> list[str]:
    """The names, when each worker and the publisher has a connection; else none."""
    return names if len(names) > WORKERS else []


def _all_closed(system: SystemUnderTest, names: list[str]) -> bool:
    """Whether none of the connections is listed any more; closes those that are."""
    listed = set(names).intersection(_connections(system))
    for name in listed:
        # The connection may have ended by itself, or a busy API did not answer: then it is closed at the next check.
        with contextlib.suppress(NoManagement):
            system.broker.management.request("DELETE", f"connections/{quote(name, safe='')}")
    return not listed


def _is_there(system: SystemUnderTest, path: str) -> bool:
    try:
        return bool(system.broker.management.request("GET", path))
    except NoManagement:
        return False


@contextmanager
def _alarmed(system: SystemUnderTest) -> Iterator[None]:
    """A block during which the broker has the memory alarm."""
    system.broker.order("set_vm_memory_high_watermark", "0")
    try:
        system.wait(lambda: _alarm(system), what="the memory alarm", timeout_s=NOTICE_TIMEOUT_S)
        yield
    finally:
        system.broker.order("set_vm_memory_high_watermark", USUAL_WATERMARK)
    system.wait(lambda: not _alarm(system), what="the end of the memory alarm", timeout_s=NOTICE_TIMEOUT_S)


def _alarm(system: SystemUnderTest) -> bool:
    return "memory" in system.broker.order("eval", "rabbit_alarm:get_alarms().")


def _refused(system: SystemUnderTest) -> str:
    """The error with which the broker rejects one more task; empty when it takes it."""
    try:
        system.client.send("note", TASK_S)
    except MessageNacked as error:
        return type(error).__name__
    return ""


@contextmanager
def _stopped(system: SystemUnderTest) -> Iterator[None]:
    """Stop all workers by SIGSTOP in the block, for less than the heartbeat, so that the broker keeps them."""
    for worker in system.workers:
        os.killpg(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in system.workers:
            os.killpg(worker.pid, signal.SIGCONT)


def _refuse_same(before: int, after: int) -> None:
    if before == after:
        raise NotStruck(f"The broker is still process {after}.")
