"""How throughput, processor time and memory of a cluster of three nodes grow with workers and with what waits.

    python bench/cluster.py [TASKS]

It publishes a million tasks without dots with `send_many`, and prints what each tenth of them cost. Then workers of two
slots run all of them, in adaptive dispatch, with task events, without results. With the whole backlog, with a tenth of
it and with the last of it, one, two and four workers are measured in turn; in between, four of them work it off. When
no worker holds a message any more, it counts what was run, what is left, and the dead letters.

Caveats: nodes, workers, publisher and this program share the machine; what the nodes need, the workers do not get. The
queue's leader is on one node, as any queue's. The rate is read from the queue's depth, in which what a worker has in
hand does not count; that is fewer than 300 messages a worker. With few tasks the workers may have all in hand before a
measurement begins, and the row has no figures ("-"). What is on the nodes' disks is not counted.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psutil
from celery import Celery
from kombu import Connection

from proj.broker.queue_depths import depths_by_declare
from proj.delivery.install import install
from proj.delivery.send_many import send_many
from proj.lab.cluster import Cluster
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from proj.queues import DEAD_LETTERS, WORK_QUEUE, quarantine_queue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery.canvas import Signature

VHOST = "bench"
#: Tasks unless told otherwise, and the fewest of which every measurement runs a hundred.
TASKS, LEAST = 1_000_000, 5_000
WORKERS = (1, 2, 4)
#: Shares of all tasks that wait when the workers are measured, and how many tasks one measurement runs.
BACKLOGS, MEASURED = (1.0, 0.13, 0.06), 0.02
#: The share of all tasks that runs before a measurement begins: workers start, and windows grow.
WARM_UP = 0.002
#: Seconds that one step may take; the longest is the run from the first backlog to the second.
TIMEOUT_S = 3600.0


class Spent:
    """Seconds, and the processor seconds of some processes."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        """Begin now."""
        self._processes = processes
        self._began, self._began_cpu_s = time.monotonic(), self._cpu_s()

    def since(self) -> tuple[float, float]:
        """Seconds and processor seconds until now."""
        return time.monotonic() - self._began, self._cpu_s() - self._began_cpu_s

    def _cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._processes)


class Bench:
    """A cluster, an app that publishes, and what the queue has."""

    def __init__(self, cluster: Cluster, guard: Guard) -> None:
        """Make the virtual host."""
        self._cluster, self._guard = cluster, guard
        self._url = cluster.add_vhost(VHOST)
        self.app = Celery("bench", set_as_current=False)
        self.app.config_from_object("proj.settings")
        self.app.conf.broker_url = self._url
        install(self.app)
        self._connection = Connection(cluster.nodes[0].url(VHOST))
        self._number = 0
        #: How many tasks all workers have done.
        self.done = 0
        #: The most memory that a worker's main process had, in bytes.
        self.worker_bytes = 0

    @property
    def nodes(self) -> list[psutil.Process]:
        """The processes of the nodes."""
        return [psutil.Process(node.pid) for node in self._cluster.nodes]

    def memory(self) -> str:
        """The resident memory of the nodes together, for people."""
        return f"{sum(one.memory_info().rss for one in self.nodes) / 2**20:,.0f} MiB"

    def depth(self, queue: str = WORK_QUEUE) -> int:
        """The ready messages of a queue."""
        return sum(depth.ready for depth in depths_by_declare(self._connection, [queue]))

    def publish(self, tasks: int) -> None:
        """Publish all, and print a line for each tenth."""
        own = psutil.Process()

        def signatures(count: int) -> Iterator[Signature[Any]]:
            for number in range(count):
                yield self.app.signature("proj.tasks.work", (f"task {number}",), ignore_result=True)

        print("| waiting | published/s | publisher, µs | nodes, µs | memory of the nodes |")
        print("| --- | --- | --- | --- | --- |")
        for part in range(1, 11):
            publisher, nodes = Spent([own]), Spent(self.nodes)
            count = tasks * part // 10 - tasks * (part - 1) // 10
            send_many(signatures(count), app=self.app)
            seconds, cpu_s = publisher.since()
            print(
                f"| {tasks * part // 10:,} | {count / seconds:,.0f} | {cpu_s / count * 1e6:,.0f} "
                f"| {nodes.since()[1] / count * 1e6:,.0f} | {self.memory()} |",
                flush=True,
            )

    @contextmanager
    def workers(self, count: int) -> Iterator[list[Process]]:
        """So many workers of two slots; what they have done is counted when they have ended in order."""
        with ExitStack() as stack:
            started = [stack.enter_context(self._worker()) for _ in range(count)]
            yield started
            for process in started:
                self.worker_bytes = max(self.worker_bytes, psutil.Process(process.pid).memory_info().rss)
            for process in started:
                process.terminate()
            for process in started:
                wait_until(lambda one=process: not one.running, what="its end", timeout_s=TIMEOUT_S)  # type: ignore[misc] # the loop's value
        self.done += sum(self._done_by(process) for process in started)

    def _done_by(self, process: Process) -> int:
        with process.log.open() as lines:
            return sum("] succeeded in " in line for line in lines)

    def _worker(self) -> Process:
        self._number += 1
        node = f"bench{self._number}@x"
        return Process(
            node,
            [
                *(sys.executable, "-m", "celery", "-A", "proj", "worker", "--hostname", node, "--concurrency", "2"),
                *("--loglevel", "INFO", "--without-mingle", "--without-gossip", "--queues", WORK_QUEUE),
            ],
            guard=self._guard,
            environment=child_environment(CELERY_BROKER_URL=self._url, PROJ_DISPATCH="adaptive"),
            log=self._guard.folder / f"{node}.log",
        )

    def await_depth(self, depth: int) -> None:
        """Wait until no more than so many are left."""
        wait_until(lambda: self.depth() <= depth, what=f"{depth} left", timeout_s=TIMEOUT_S)

    def await_end(self) -> None:
        """Wait until no message is left, also none that a worker holds, or that waits to be run alone."""
        self.await_depth(0)
        wait_until(lambda: self.left() == 0, what="the last tasks", timeout_s=TIMEOUT_S)

    def left(self) -> int:
        """The messages of the work queue and of its quarantine, ready or held by workers, as counted every 5 s."""
        listed = self._cluster.nodes[0].order("-p", VHOST, "list_queues", "name", "messages")
        counts = dict(line.split() for line in listed.splitlines())
        return sum(int(counts.get(queue, 0)) for queue in (WORK_QUEUE, quarantine_queue(WORK_QUEUE)))

    def cost_down_to(self, depth: int, workers: list[Process]) -> str:
        """Wait until so many are left; cells of a table: tasks/s, and processor time of workers and of nodes a task."""
        begin = self.depth()
        mains = [psutil.Process(worker.pid) for worker in workers]
        own = Spent([*mains, *(child for main in mains for child in main.children(recursive=True))])
        nodes = Spent(self.nodes)
        self.await_depth(depth)
        count = begin - self.depth()
        seconds, cpu_s = own.since()
        if count < 1:
            return "- | - | -"
        return f"{count / seconds:,.0f} | {cpu_s / count * 1e6:,.0f} | {nodes.since()[1] / count * 1e6:,.0f}"

    def measure(self, tasks: int) -> None:
        """Run all tasks, and print a line for each backlog and number of workers."""
        print("\n| waiting | workers | tasks/s | workers, µs | nodes, µs | memory of the nodes |")
        print("| --- | --- | --- | --- | --- | --- |")
        for backlog in BACKLOGS:
            if self.depth() > tasks * backlog:
                with self.workers(max(WORKERS)) as workers:
                    cost = self.cost_down_to(int(tasks * backlog), workers)
                print(f"| down to {self.depth():,} | {max(WORKERS)} | {cost} | {self.memory()} |", flush=True)
            for count in WORKERS:
                with self.workers(count) as workers:
                    there = self.depth()
                    self.await_depth(max(0, there - int(tasks * WARM_UP)))
                    cost = self.cost_down_to(max(0, self.depth() - int(tasks * MEASURED)), workers)
                print(f"| {there:,} | {count} | {cost} | {self.memory()} |", flush=True)
        with self.workers(max(WORKERS)):
            self.await_end()


def number_of(text: str) -> int:
    """A number of tasks, for argparse."""
    if not text.isdecimal() or int(text) < LEAST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tasks; give a whole number from {LEAST} on")
    return int(text)


def main() -> None:
    """Publish, run, and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "tasks", type=number_of, nargs="?", default=TASKS, metavar="TASKS", help="how many (default: %(default)s)"
    )
    tasks = parser.parse_args().tasks
    with Guard() as guard, Cluster(guard) as cluster:
        bench = Bench(cluster, guard)
        print(f"RabbitMQ {cluster.version}, three nodes, {psutil.cpu_count()} processors, {tasks:,} tasks", flush=True)
        bench.publish(tasks)
        bench.measure(tasks)
        print(
            f"\nrun {bench.done:,} times, left {bench.left():,}, dead letters {bench.depth(DEAD_LETTERS):,}; "
            f"a worker's main process had at most {bench.worker_bytes / 2**20:,.0f} MiB"
        )


if __name__ == "__main__":
    main()
