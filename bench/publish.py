"""How fast tasks are published: one confirm at a time, with `send_many`, and by a stock Celery app without confirms.

    python bench/publish.py [TASKS [ROUNDS]]

All three publish the same task with the same settings (results over the broker, `task-sent` events) to queues of the
same type on one private broker, in turn, ROUNDS times. It prints the median rates, and the median of the ratios of all
rounds.

Caveats: publisher and broker share the machine. If the publisher is the slower part, the rate shows what a message
costs in Celery. A confirm of a quorum queue waits for the disk: a slower disk makes the first ratio larger.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from itertools import zip_longest

from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard

ONE = "one confirm at a time"
MANY = "send_many"
STOCK = "stock, no confirms"


def measure(way: str, count: int) -> float:
    """The tasks that are published a second, after a first one that opens the connections."""
    if way == STOCK:
        from celery import Celery  # noqa: PLC0415 each way must import only its own app

        app = Celery("stock")
        app.config_from_object("celeryconfig")

        @app.task(name="proj.tasks.work")
        def work(message: str) -> None:
            """Do nothing; only the name of the task is sent."""
    else:
        from proj.celery import app  # noqa: PLC0415 as above
        from proj.tasks import work  # noqa: PLC0415 as above
    work.delay("hello.")
    begun = time.perf_counter()
    if way == MANY:
        from proj.delivery.send_many import send_many  # noqa: PLC0415 as above

        send_many((work.s("hello.") for _ in range(count)), app=app)
    else:
        for _ in range(count):
            work.delay("hello.")
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure, and print a table for each type of queue."""
    count, rounds = (int(given or usual) for given, usual in zip_longest(sys.argv[1:], (5000, 5)))
    with Guard() as guard, Broker(guard) as broker:
        for queue_type in ("quorum", "classic"):
            rates: dict[str, list[float]] = {ONE: [], MANY: [], STOCK: []}
            for number in range(rounds):
                for way, samples in rates.items():
                    vhost = f"{queue_type}-{number}-{len(samples)}-{way[:3]}"
                    environment = child_environment(
                        CELERY_BROKER_URL=broker.add_vhost(vhost), PROJ_QUEUE_TYPE=queue_type
                    )
                    done = subprocess.run(
                        [sys.executable, __file__, "--measure", way, str(count)],
                        env=environment,
                        check=True,
                        capture_output=True,
                        text=True,
                    )
                    samples.append(float(done.stdout))
                    broker.remove_vhost(vhost)
            print(f"{queue_type}, {count} tasks, {rounds} rounds, {os.cpu_count()} cores")
            for way, samples in rates.items():
                ratios = [many / other for many, other in zip(rates[MANY], samples, strict=True)]
                print(
                    f"  {way:22} {statistics.median(samples):7.0f}/s ({min(samples):.0f} to {max(samples):.0f})"
                    f"   send_many is {statistics.median(ratios):.1f} times as fast"
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(measure(sys.argv[2], int(sys.argv[3])))
    else:
        main()
