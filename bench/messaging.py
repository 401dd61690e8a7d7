"""Message queues: their rates, what an idle consumer costs, and whether one poison pill ends all consumers.

It publishes texts one after the other, each confirmed, and consumes them one at a time, with a quorum and a classic
queue in turn, several times. Then, for each type, it measures an idle consumer. At last it publishes twenty texts and
some poison pills to workers in threads of this process, several times: their output must be the twenty texts and at
least one pill, and their input must be empty. All of it uses one private broker.

Caveats: publisher, consumer and broker share the machine, and a confirm of a quorum queue waits for the disk. The load
averages are those of the minute before the first run and before the end of the last one; the measurement itself adds
about 1 to it. Rates that were measured beside other load tell little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from kombu import Connection

from proj.errors import ProjError
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.messaging import MessageQueue, Worker, launch
from proj.queues import QUEUE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PILL = "HALT"
#: The exit code of a program that Ctrl-C ended, as a shell reports it.
EXIT_INTERRUPTED = 130
#: Seconds for which an idle consumer is measured.
IDLE_S = 5.0
WORK = 20
#: The numbers of consumers of a queue and of pills that are published to it.
CONSUMERS_AND_PILLS = ((2, 1), (5, 1), (13, 1), (2, 2), (3, 3))


class ToUpper(Worker):
    """The first stage of the tutorials."""

    def work(self, message: str) -> None:
        """Publish the text in upper case."""
        self.write(message.upper())


def rates(url: str, queue_type: str, count: int) -> tuple[float, float]:
    """The texts that are published a second, and consumed a second."""
    with MessageQueue("rates", url, queue_type=queue_type, pill=PILL) as queue:
        queue.publish("first")
        begun = time.perf_counter()
        for _ in range(count):
            queue.publish("text")
        published_s = time.perf_counter() - begun
        queue.halt()
        begun = time.perf_counter()
        consumed = sum(1 for _ in queue)
        return count / published_s, consumed / (time.perf_counter() - begun)


def idle_percent(url: str, queue_type: str) -> float:
    """The share of one core, in per cent, that a consumer of an empty queue uses."""
    with MessageQueue("idle", url, queue_type=queue_type) as queue:
        queue.register(print)
        consumer = threading.Thread(target=queue.start)
        consumer.start()
        time.sleep(1)
        begun = time.process_time()
        time.sleep(IDLE_S)
        used_s = time.process_time() - begun
        queue.stop()
        consumer.join()
        return 100 * used_s / IDLE_S


def halted(url: str, queue_type: str, consumers: int, pills: int) -> str:
    """Publish texts and pills to consumers; return how many texts and pills came out and how many messages are left."""
    with MessageQueue("input", url, queue_type=queue_type, pill=PILL) as queue:
        for number in range(WORK):
            queue.publish(f"text {number}")
        for _ in range(pills):
            queue.halt()
    launch(*(ToUpper(f"T{one}", "input", "output", url, queue_type=queue_type) for one in range(consumers)))
    texts = []
    with Connection(url) as connection, connection.channel() as channel:
        while (message := channel.basic_get("output", no_ack=True)) is not None:
            texts.append(message.body)
        left = channel.queue_declare("input", passive=True).message_count
    work = len({text for text in texts if text != PILL})
    return f"{work} of {WORK} texts and {texts.count(PILL)} pills came out, {left} messages left"


def spread(figures: Sequence[float]) -> str:
    """The median, the lowest and the highest value."""
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


def measure(texts: int, runs: int, rounds: int) -> None:
    """Measure, and print lines for each type of queue."""
    load = os.getloadavg()[0]
    with Guard() as guard, Broker(guard) as broker:
        urls = {queue_type: broker.add_vhost(queue_type) for queue_type in QUEUE_TYPES}
        if runs:
            # In turn, so that other load on the machine affects both types.
            measured = [{kind: rates(url, kind, texts) for kind, url in urls.items()} for _ in range(runs)]
            loads = f"load average before them {load:.2f}, after them {os.getloadavg()[0]:.2f}"
            print(f"{runs} runs of {texts:,} texts, median (lowest to highest); {loads}")
            for kind in urls:
                published, consumed = zip(*(run[kind] for run in measured), strict=True)
                print(f"{kind}: {spread(published)} published/s, {spread(consumed)} consumed/s", flush=True)
        for kind, url in urls.items() if rounds else ():
            print(f"{kind}: an idle consumer takes {idle_percent(url, kind):.2f}% of a core", flush=True)
            for consumers, pills in CONSUMERS_AND_PILLS:
                outcomes = Counter(halted(url, kind, consumers, pills) for _ in range(rounds))
                for outcome, times in outcomes.items():
                    print(f"  {consumers} consumers, {pills} pills: {times} times {outcome}", flush=True)


def whole(lowest: int) -> Callable[[str], int]:
    """A parser for whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest}")
        return int(text)

    return read


def main() -> None:
    """Parse the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--texts", type=whole(1), default=2000, metavar="N", help="texts in a run (default: %(default)s)"
    )
    parser.add_argument(
        "--runs", type=whole(0), default=11, metavar="N", help="runs of each type (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=whole(0), default=10, metavar="N", help="rounds with pills (default: %(default)s)"
    )
    given = parser.parse_args()
    try:
        measure(given.texts, given.runs, given.rounds)
    except ProjError as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
