"""Tasks that run longer than the broker's consumer timeout, on RabbitMQ 4.3 and an app that is not ours."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import amqp
import pytest
from celery import Celery
from kombu import Exchange, Queue

from proj.broker.connection import connected, open_channel
from proj.broker.declaration import queue_type
from proj.lab.broker import Broker
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.broker.version import BrokerVersion
    from proj.lab.processes.guard import Guard
    from proj.lab.processes.process import Process

#: The consumer timeout of the broker's configuration, and a task that takes longer.
TIMEOUT_S = 4
LONG_S = 2.0 * TIMEOUT_S
#: The milliseconds that a worker asks for when its tasks have no time limit.
DAY_MS = 24 * 3600 * 1000
#: The timeout that the app has set for the consumers of its own queue, in milliseconds.
OWN_MS = 6000
#: Tasks of a quarter of it, which fill one slot for longer.
SHORT_TASKS = 6

#: The app. The type of the queue `bare` is the virtual host's default.
THEIRS = f"""
import time
from celery import Celery
from kombu import Queue
from proj.delivery.install import install

app = Celery("theirs")
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, task_default_queue="quorum")
app.conf.task_queues = [
    Queue("quorum", queue_arguments={{"x-queue-type": "quorum"}}),
    Queue("classic", queue_arguments={{"x-queue-type": "classic"}}),
    Queue("bare"),
    Queue(
        "own",
        queue_arguments={{"x-queue-type": "quorum"}},
        consumer_arguments={{"x-consumer-timeout": {OWN_MS}, "x-priority": 7}},
    ),
]
app.conf.proj_consumer_timeout_s = {TIMEOUT_S}
install(app)

@app.task(name="nap", bind=True)
def nap(self, name, seconds):
    print(f"started {{name}}", flush=True)
    if not self.request.delivery_info["redelivered"]:
        time.sleep(seconds)  # the work itself, of a known length
    print(f"ended {{name}}", flush=True)
"""


@pytest.fixture(autouse=True)
def _needs_the_argument(version: BrokerVersion) -> None:
    if not version.lets_consumers_set_timeout:
        pytest.skip(f"On RabbitMQ {version} a worker takes leases instead; see test_lease.py.")


@pytest.fixture(scope="module")
def impatient(guard: Guard) -> Iterator[Broker]:
    """A broker with a short consumer timeout."""
    with Broker(guard, settings={"consumer_timeout": str(TIMEOUT_S * 1000)}) as broker:
        yield broker


@pytest.fixture(params=["classic"])
def there(impatient: Broker, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a virtual host of that broker; the parameter is the default type of its queues."""
    name = f"test-{secrets.token_hex(4)}"
    impatient.add_vhost(name)
    impatient.management.request("PUT", f"vhosts/{name}", {"default_queue_type": request.param})
    yield name
    impatient.remove_vhost(name)


class Worker:
    """A worker of the app, what it has printed, and a client that sends it tasks."""

    def __init__(self, process: Process, client: Celery) -> None:
        self.process = process
        self.client = client

    def send(self, name: str, seconds: float, queue: str, **options: Any) -> None:
        # Over the default exchange, to a queue that the worker has declared.
        there = Queue(queue, Exchange(""), routing_key=queue, no_declare=True)
        self.client.send_task("nap", (name, seconds), queue=there, ignore_result=True, **options)

    def count(self, text: str) -> int:
        return self.process.log_text().count(text)

    def wait_for(self, text: str, *, times: int = 1, timeout_s: float = 45) -> None:
        wait_until(lambda: self.count(text) >= times, what=f"{times} times {text!r}", timeout_s=timeout_s)


@contextmanager
def running(
    guard: Guard, broker: Broker, vhost: str, folder: Path, *options: str, queues: str, slots: int = 1
) -> Iterator[Worker]:
    (folder / "theirs.py").write_text(THEIRS)
    process = worker_process(
        f"theirs-{vhost}@host",
        *("--concurrency", str(slots), "--queues", queues, *options),
        guard=guard,
        broker_url=broker.url(vhost),
        app="theirs",
        PYTHONPATH=str(folder),
    )
    with process, Celery("client", broker=broker.url(vhost), set_as_current=False) as client:
        wait_until_ready(process)
        yield Worker(process, client)
        process.kill()


def arguments(broker: Broker, vhost: str) -> dict[str, dict[str, Any]]:
    """The arguments of the consumers of each queue of the app."""
    rows = broker.management.request("GET", f"consumers/{vhost}")
    return {row["queue"]["name"]: row["arguments"] for row in rows if row["queue"]["name"].isalpha()}


def leases(broker: Broker, vhost: str) -> list[str]:
    queues = broker.management.request("GET", f"queues/{vhost}?disable_stats=true&enable_queue_totals=true")
    return [queue["name"] for queue in queues if ".lease." in queue["name"]]


@pytest.mark.parametrize("there", ["classic", "quorum"], indirect=True)
def test_worker_asks_for_a_day_on_quorum_queues_alone(
    guard: Guard, impatient: Broker, there: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """A queue without a type has the virtual host's; a classic queue refuses the argument; the app's own stays."""
    default = request.node.callspec.params["there"]
    with running(guard, impatient, there, tmp_path, queues="quorum,classic,bare,own"):
        # The management API lists a consumer some seconds late.
        found = wait_until(
            lambda: rows if len(rows := arguments(impatient, there)) == 4 else None, what="consumers", timeout_s=30
        )

    assert found == {
        "quorum": {"x-consumer-timeout": DAY_MS},
        "classic": {},
        "bare": {"x-consumer-timeout": DAY_MS} if default == "quorum" else {},
        "own": {"x-consumer-timeout": OWN_MS, "x-priority": 7},
    }


@pytest.mark.parametrize("queue", ["quorum", "classic"])
def test_long_task_runs_once_without_a_lease(
    guard: Guard, impatient: Broker, there: str, tmp_path: Path, queue: str
) -> None:
    """On a quorum queue, whose timeout the worker has set, and on a classic one, which has none."""
    with running(guard, impatient, there, tmp_path, queues=queue) as worker:
        worker.send("long", LONG_S, queue)
        worker.send("next", 0.0, queue)
        worker.wait_for("ended next")

        assert worker.count("started long") == worker.count("ended long") == 1
        assert worker.count("leased") == worker.count("consumer_cancelled") == 0


def test_task_that_outlasts_what_the_worker_asked_for_is_leased(
    guard: Guard, impatient: Broker, there: str, tmp_path: Path
) -> None:
    """A message may bring a time limit of its own, longer than those of the worker."""
    with running(guard, impatient, there, tmp_path, "--time-limit", "1", queues="quorum") as worker:
        assert wait_until(lambda: arguments(impatient, there), what="the consumer", timeout_s=60) == {
            "quorum": {"x-consumer-timeout": TIMEOUT_S * 1000}
        }

        worker.send("long", LONG_S, "quorum", time_limit=60)
        worker.wait_for("the message is leased")
        worker.wait_for("ended long")
        wait_until(lambda: not leases(impatient, there), what="the lease to end", timeout_s=60)

        assert worker.count("started long") == 1


def test_long_task_that_is_run_alone_is_leased(guard: Guard, impatient: Broker, there: str, tmp_path: Path) -> None:
    """It is taken from the quarantine by `basic.get`, which has no argument for a timeout."""
    with running(guard, impatient, there, tmp_path, queues="quorum") as worker:
        with connected(worker.client.connection_for_write()) as connection:
            own = {"x-queue-type": "quorum"}
            open_channel(connection).queue_declare("quorum.suspects", durable=True, auto_delete=False, arguments=own)
        worker.send("long", LONG_S, "quorum.suspects")
        worker.wait_for("the message is leased")
        worker.wait_for("ended long")

        assert worker.count("started long") == 1


def test_timeout_of_the_app_strikes_and_the_worker_consumes_again_with_it(
    guard: Guard, impatient: Broker, there: str, tmp_path: Path
) -> None:
    """The task is run again, its neighbours are not, and no message is leased to outlive the timeout."""
    with running(guard, impatient, there, tmp_path, queues="own", slots=2) as worker:
        worker.send("long", 2 * OWN_MS / 1000, "own")
        # One of them runs when the timeout strikes.
        for number in range(SHORT_TASKS):
            worker.send(f"short{number}", OWN_MS / 1000 / 4, "own")
        worker.wait_for("started long", times=2)
        worker.wait_for(f"ended short{SHORT_TASKS - 1}")

        wait_until(
            lambda: arguments(impatient, there) == {"own": {"x-consumer-timeout": OWN_MS, "x-priority": 7}},
            what="the consumer",
            timeout_s=30,
        )
        assert [worker.count(f"started short{number}") for number in range(SHORT_TASKS)] == [1] * SHORT_TASKS
        assert worker.count("leased") == 0


def test_type_of_a_queue_is_told_and_nothing_is_consumed(impatient: Broker, there: str) -> None:
    """Also of a stream, whose type RabbitMQ does not name, and of a queue that is not there: None."""
    with connected(Celery(broker=impatient.url(there), set_as_current=False).connection_for_write()) as connection:
        channel = open_channel(connection)
        for kind in ("quorum", "classic", "stream"):
            channel.queue_declare(kind, durable=True, auto_delete=False, arguments={"x-queue-type": kind})
            channel.basic_publish(amqp.Message("x"), routing_key=kind)
        names = ("quorum", "classic", "stream", "missing")

        assert [queue_type(connection.connection, name) for name in names] == ["quorum", "classic", None, None]
        assert channel.queue_declare("quorum", passive=True).message_count == 1
