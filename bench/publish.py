"""How fast tasks are published, and what one costs: one confirm at a time, with `send_many`, and by others.

    python bench/publish.py [TASKS [ROUNDS]]

A plain Celery app, with the same settings but without anything of ours, publishes without confirms and with one confirm
at a time; so do dramatiq and a bare loop with pika (the extra `bench`; without it they are left out). All publish on
one private broker, in turn, ROUNDS times; Celery apps publish the same task (results over the broker, `task-sent`
events). It prints the median rates, and the median of the ratios of all rounds. `bench/dispatch.py --publishing` prints
the same with more rounds.

Caveats: publisher and broker share the machine. If the publisher is the slower part, the rate shows what a message
costs in its library, and the processor time says how much of it that is. A confirm of a quorum queue waits for the
disk: a slower disk makes the first ratio larger. dramatiq declares a classic queue, whatever the others have.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = "one confirm at a time"
MANY = "send_many"
STOCK = "stock, no confirms"
STOCK_CONFIRMED = "stock, confirmed"
DRAMATIQ = "dramatiq, no confirms"
DRAMATIQ_CONFIRMED = "dramatiq, confirmed"
PIKA = "pika, no confirms"
PIKA_CONFIRMED = "pika, confirmed"
#: For each way, the module that it needs besides the project; None for none.
WAYS = {
    ONE: None,
    MANY: None,
    STOCK: None,
    STOCK_CONFIRMED: None,
    DRAMATIQ: "dramatiq",
    DRAMATIQ_CONFIRMED: "dramatiq",
    PIKA: "pika",
    PIKA_CONFIRMED: "pika",
}
QUEUE_TYPES = ("quorum", "classic")
#: The variables that name the broker and the queue type to the publishers that are not Celery's.
URL, QUEUE_TYPE = "BENCH_BROKER_URL", "PROJ_QUEUE_TYPE"


@dataclass(frozen=True, kw_only=True)
class Published:
    """What one measurement found."""

    #: Tasks a second.
    rate: float
    #: Microseconds of the publisher's processor time a task.
    cpu_us: float


def published(broker: Broker, queue_type: str, way: str, count: int) -> Published:
    """Publish so many tasks in this way, in a process and on a virtual host of its own."""
    vhost = f"{queue_type}-{way.replace(' ', '-').replace(',', '')}-{time.time_ns()}"
    url = broker.add_vhost(vhost)
    environment = child_environment(CELERY_BROKER_URL=url, **{URL: url, QUEUE_TYPE: queue_type})
    done = subprocess.run(
        [sys.executable, __file__, "--measure", way, str(count)],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    broker.remove_vhost(vhost)
    return Published(**json.loads(done.stdout))


def measure(way: str, count: int) -> Published:
    """Publish in this process, after a first task that opens the connections."""
    publish = PUBLISHERS.get(way, one_by_one(way))(count)
    begun, used = time.perf_counter(), time.process_time()
    publish()
    return Published(rate=count / (time.perf_counter() - begun), cpu_us=1e6 * (time.process_time() - used) / count)


def one_by_one(way: str) -> Callable[[int], Callable[[], None]]:
    """Celery's `delay`: of our app, or of a plain one."""

    def prepare(count: int) -> Callable[[], None]:
        if way == ONE:
            from proj.tasks import work  # noqa: PLC0415 each way must import only its own app
        else:
            from celery import Celery  # noqa: PLC0415 as above

            app = Celery("stock")
            app.config_from_object("proj.settings")
            if way == STOCK_CONFIRMED:
                app.conf.broker_transport_options = {**app.conf.broker_transport_options, "confirm_publish": True}

            @app.task(name="proj.tasks.work")
            def work(message: str) -> None:
                """Do nothing; only the name of the task is sent."""

        work.delay("hello.")

        def publish() -> None:
            for _ in range(count):
                work.delay("hello.")

        return publish

    return prepare


def many(count: int) -> Callable[[], None]:
    """Our `send_many`."""
    from proj.celery import app  # noqa: PLC0415 each way must import only its own app
    from proj.delivery.send_many import send_many  # noqa: PLC0415 as above
    from proj.tasks import work  # noqa: PLC0415 as above

    work.delay("hello.")

    def publish() -> None:
        send_many((work.s("hello.") for _ in range(count)), app=app)

    return publish


def dramatiq_send(count: int, *, confirm: bool = False) -> Callable[[], None]:
    """Dramatiq's `send`."""
    import dramatiq  # noqa: PLC0415 it is in an extra
    from dramatiq.brokers.rabbitmq import RabbitmqBroker  # noqa: PLC0415 as above

    dramatiq.set_broker(RabbitmqBroker(url=os.environ[URL], confirm_delivery=confirm))

    @dramatiq.actor
    def work(message: str) -> None:
        """Do nothing; only the name of the actor is sent."""

    work.send("hello.")

    def publish() -> None:
        for _ in range(count):
            work.send("hello.")

    return publish


def pika_loop(count: int, *, confirm: bool = False) -> Callable[[], None]:
    """A bare loop with pika."""
    import pika  # noqa: PLC0415 it is in an extra

    channel = pika.BlockingConnection(pika.URLParameters(os.environ[URL])).channel()
    channel.queue_declare("bare", durable=True, arguments={"x-queue-type": os.environ[QUEUE_TYPE]})
    if confirm:
        channel.confirm_delivery()
    persistent = pika.BasicProperties(delivery_mode=2)

    def publish() -> None:
        for _ in range(count):
            channel.basic_publish("", "bare", "hello.", persistent)

    return publish


PUBLISHERS: dict[str, Callable[[int], Callable[[], None]]] = {
    MANY: many,
    DRAMATIQ: dramatiq_send,
    DRAMATIQ_CONFIRMED: lambda count: dramatiq_send(count, confirm=True),
    PIKA: pika_loop,
    PIKA_CONFIRMED: lambda count: pika_loop(count, confirm=True),
}


def main() -> None:
    """Measure, and print a table for each type of queue."""
    count, rounds = (int(given or usual) for given, usual in zip_longest(sys.argv[1:], (5000, 5)))
    ways = [way for way, module in WAYS.items() if module is None or importlib.util.find_spec(module)]
    with Guard() as guard, Broker(guard) as broker:
        for queue_type in QUEUE_TYPES:
            found: dict[str, list[Published]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way, samples in found.items():
                    samples.append(published(broker, queue_type, way, count))
            print(f"{queue_type}, {count} tasks, {rounds} rounds, {os.cpu_count()} cores")
            for way, samples in found.items():
                rates = [sample.rate for sample in samples]
                ratios = [ours.rate / other for ours, other in zip(found[MANY], rates, strict=True)]
                print(
                    f"  {way:22} {statistics.median(rates):7.0f}/s ({min(rates):.0f} to {max(rates):.0f})"
                    f"   {statistics.median(sample.cpu_us for sample in samples):5.0f} µs of processor time a task"
                    f"   send_many is {statistics.median(ratios):.1f} times as fast"
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(vars(measure(sys.argv[2], int(sys.argv[3])))))
    else:
        main()
