"""The results of a worker's tasks over `rpc://`: each arrives, and a message waits for the confirm of its own."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from proj.delivery.results.backend import LARGEST_HANDED_OVER
from proj.errors import NoManagement
from tests.integration.keeping.conftest import QUEUE, SystemUnderTest, task_message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

TASK = "kept.answers"
POOLS = ["prefork", "threads", "solo"]


class Caller:
    """Publishes tasks, and reads the states of each from its reply queue."""

    def __init__(self, system: SystemUnderTest, **arguments: object) -> None:
        """Declare the reply queue, as durable as that of Celery's clients."""
        self.system = system
        self.queue = f"reply-{secrets.token_hex(4)}"
        system.channel.queue_declare(self.queue, durable=True, auto_delete=False, arguments=arguments)
        self.answers: list[dict[str, Any]] = []

    def call(self, *states: str, task: str = TASK, **options: Any) -> str:
        """Publish a task that reports these states; its id."""
        message = task_message(task, body=[list(states), options, {}])
        task_id = str(message.headers["id"])
        message.properties.update(reply_to=self.queue, correlation_id=task_id)
        self.system.publish(message)
        return task_id

    def states(self, task_id: str) -> list[str]:
        """The states of the task so far, in order."""
        while (raw := self.system.channel.basic_get(self.queue, no_ack=True)) is not None:
            assert raw.properties["delivery_mode"] == 2
            self.answers.append({**json.loads(raw.body), "correlation_id": raw.properties["correlation_id"]})
        return [answer["status"] for answer in self.answers if answer["correlation_id"] == task_id]

    def await_states(self, task_id: str, *states: str) -> None:
        """Wait until the task has reported these states and no other, but STARTED, which comes first if at all."""
        expected = list(states)
        try:
            self.system.await_(lambda: self._states_but_started(task_id) == expected, f"the states {expected}")
        finally:
            assert self._states_but_started(task_id) == expected
        got = self.states(task_id)
        # On a busy machine any task may last long enough.
        assert all(got[place - 1] == "RETRY" for place, one in enumerate(got) if one == "STARTED" and place)

    def _states_but_started(self, task_id: str) -> list[str]:
        return [state for state in self.states(task_id) if state != "STARTED"]


@pytest.fixture(params=POOLS)
def pool(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=POOLS)
def shared(guard: Guard, broker: Broker, request: pytest.FixtureRequest) -> Iterator[SystemUnderTest]:
    """A worker that is left alone."""
    name = f"test-{secrets.token_hex(4)}"
    system = SystemUnderTest(guard, broker.add_vhost(name))
    system.worker("--pool", request.param, slots=1, KEPT_CONFIRM="1")
    yield system
    system.close()
    broker.remove_vhost(name)


def fill(system: SystemUnderTest, caller: Caller) -> None:
    """Let the broker reject everything else that goes to the caller."""
    system.publish(task_message(TASK), caller.queue)


def full_queue(system: SystemUnderTest) -> Caller:
    caller = Caller(system, **{"x-max-length": 1, "x-overflow": "reject-publish"})
    fill(system, caller)
    return caller


def test_caller_gets_the_end_of_each_task(shared: SystemUnderTest) -> None:
    """Also of one that failed; a task that is retried says so first."""
    caller = Caller(shared)
    good, bad, again = caller.call(), caller.call("FAILURE"), caller.call("RETRY", "RETRY")

    caller.await_states(good, "SUCCESS")
    caller.await_states(bad, "FAILURE")
    caller.await_states(again, "RETRY", "RETRY", "SUCCESS")
    failed = next(answer for answer in caller.answers if answer["status"] == "FAILURE")
    assert (failed["result"]["exc_type"], failed["result"]["exc_message"]) == ("LookupError", [bad])


def test_caller_of_a_task_that_lasts_is_told_that_it_has_started(shared: SystemUnderTest, tmp_path: Path) -> None:
    """Before its result, and while it runs."""
    caller = Caller(shared)
    task_id = caller.call(until=str(tmp_path / "end"))

    shared.await_(lambda: caller.states(task_id), "the first state")
    assert task_id not in shared.ended()
    (tmp_path / "end").touch()
    caller.await_states(task_id, "SUCCESS")
    assert caller.states(task_id) == ["STARTED", "SUCCESS"]


def test_state_that_a_task_sets_is_not_followed_by_started(shared: SystemUnderTest, tmp_path: Path) -> None:
    """It would take the caller back from the task's own state."""
    caller = Caller(shared)
    task_id = caller.call("PROGRESS", until=str(tmp_path / "end"))

    shared.await_(lambda: caller.states(task_id), "the task's own state")
    (tmp_path / "end").touch()
    caller.await_states(task_id, "PROGRESS", "SUCCESS")


def test_large_result_arrives(shared: SystemUnderTest) -> None:
    """The process that ran the task publishes it, so that the worker's main process need not hold it."""
    caller = Caller(shared)
    task_id = caller.call(length=2 * LARGEST_HANDED_OVER)

    caller.await_states(task_id, "SUCCESS")
    assert len(caller.answers[-1]["result"]) == 2 * LARGEST_HANDED_OVER


def test_result_for_a_caller_that_has_left_keeps_nobody(shared: SystemUnderTest) -> None:
    """Its queue is gone with it."""
    gone, caller = Caller(shared), Caller(shared)
    shared.channel.queue_delete(gone.queue)
    gone.call()

    caller.await_states(caller.call(), "SUCCESS")


def test_slot_is_free_before_the_result_is_confirmed(system: SystemUnderTest, pool: str) -> None:
    """Stock Celery with confirms would wait for the broker in the process that runs the tasks."""
    stuck, caller = full_queue(system), Caller(system)
    system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1", KEPT_MULTIPLIER="9", KEPT_S="600")
    first = stuck.call()
    system.await_(lambda: first in system.ended(), "the first task to end")

    caller.await_states(caller.call(), "SUCCESS")

    assert system.dead() == []


def test_message_is_not_acknowledged_before_its_result_is_confirmed(system: SystemUnderTest, pool: str) -> None:
    """So that a result which is lost with its worker is made again."""
    stuck = full_queue(system)
    worker = system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1", KEPT_S="600")
    task_id = stuck.call()
    system.await_(lambda: task_id in system.ended(), "the task to end")

    worker.kill()
    system.await_(lambda: system.depth() == 1, "the message to be back")
    system.channel.queue_purge(stuck.queue)
    system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1")

    stuck.await_states(task_id, "SUCCESS")
    assert system.ends() == [task_id, task_id]
    assert system.depth() == 0


def test_result_is_published_again_until_the_reply_queue_takes_it(system: SystemUnderTest, pool: str) -> None:
    """The task is done once."""
    stuck = full_queue(system)
    system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1")
    task_id = stuck.call()
    system.await_(lambda: task_id in system.ended(), "the task to end")

    system.channel.queue_purge(stuck.queue)

    stuck.await_states(task_id, "SUCCESS")
    assert system.ends() == [task_id]


def test_task_whose_result_its_reply_queue_does_not_take_holds_up_nobody(system: SystemUnderTest, pool: str) -> None:
    """It is done. Its result is given up later, and the log says so."""
    stuck, caller = full_queue(system), Caller(system)
    settings = {"KEPT_CONFIRM": "1", "KEPT_S": "0.2", "KEPT_PUBLISH_TIMEOUT": "2"}
    worker = system.worker("--pool", pool, slots=1, **settings)
    lost = [stuck.call() for _ in range(20)]

    caller.await_states(caller.call(), "SUCCESS")

    system.await_(lambda: worker.log_text().count("and its result is lost: ") == len(lost), "the results to be lost")
    assert all(
        f"The task {one} ran, and its result is lost: RabbitMQ rejected what" in worker.log_text() for one in lost
    )
    assert sorted(system.ends()) == sorted(set(system.ends()))
    assert (system.depth(), system.dead()) == (0, [])


def test_failure_that_the_main_process_tells_holds_up_nobody(system: SystemUnderTest) -> None:
    """That of a task at its time limit, whose reply queue takes nothing; it would have kept the worker's loop."""
    stuck, caller = full_queue(system), Caller(system)
    long = {"KEPT_QUEUE_FULL_TIMEOUT": "600", "KEPT_PUBLISH_TIMEOUT": "600"}
    system.worker(slots=1, KEPT_CONFIRM="1", **long)
    task_id = stuck.call(task="kept.never_ends")

    caller.await_states(caller.call(), "SUCCESS")

    assert (system.depth(), system.dead()) == (0, [])
    system.channel.queue_purge(stuck.queue)
    # Celery tells it at the time limit, and again when the process has ended.
    system.await_(lambda: "FAILURE" in stuck.states(task_id), "the failure")


def test_warm_shutdown_waits_for_the_last_results(system: SystemUnderTest, pool: str) -> None:
    """A task is either done with a result, or still in its queue."""
    caller = Caller(system)
    count = 200
    worker = system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1", KEPT_MULTIPLIER="9")
    ids = [caller.call() for _ in range(count)]
    system.await_(lambda: len(system.ends()) >= count // 4, "some tasks to end")

    worker.terminate()
    system.await_(lambda: not worker.running, "the worker to end")

    done = Counter(system.ends())

    def results() -> set[str]:
        return {one for one in ids if caller.states(one)}

    system.await_(lambda: system.depth() + len(results()) == count, "the results")
    assert set(done.values()) == {1}
    assert results() <= set(done)
    # The task in the only slot may have ended when its process could not say so any more.
    assert len(set(done) - results()) <= 1


def test_no_result_is_lost_when_connections_are_lost(
    system: SystemUnderTest, broker: Broker, pool: str, tmp_path: Path
) -> None:
    """A task may be done twice then, and has a result at least once."""
    caller = Caller(system)
    system.worker("--pool", pool, slots=1, KEPT_CONFIRM="1", KEPT_MULTIPLIER="9")
    # Of each hundred, the last ones wait until the connections were closed.
    gates = [tmp_path / str(number) for number in range(3)]
    ids = [caller.call(until=str(gates[number // 100]) if number % 100 >= 60 else None) for number in range(300)]
    for number, gate in enumerate(gates):
        enough = 100 * number + 60
        system.await_(lambda enough=enough: len(set(system.ended())) >= enough, "some tasks to end")  # type: ignore[misc] # a default argument
        # The management API lists a new connection some seconds late.
        system.await_(lambda: _close_connections_of_workers(system, broker), "a connection to close")
        gate.touch()

    system.await_(lambda: all("SUCCESS" in caller.states(one) for one in ids), "all results")

    system.await_(lambda: system.depth(QUEUE) == 0, "the queue to be empty")


def _close_connections_of_workers(system: SystemUnderTest, broker: Broker) -> int:
    """Close all connections of the virtual host but that of the test; how many."""
    vhost = system.url.rsplit("/", 1)[1]
    own = system.channel.connection.sock.getsockname()[1]
    found = broker.management.request("GET", f"vhosts/{vhost}/connections?columns=name,peer_port")
    others = [one["name"] for one in found if one.get("peer_port") != own]
    for name in others:
        with suppress(NoManagement):
            # It may have closed itself.
            broker.management.request("DELETE", f"connections/{quote(name, safe='')}")
    return len(others)
