"""Message queues: how fast texts go through one, what an idle consumer costs, and whether one pill ends everybody.

Publishes texts one after the other, each confirmed, and consumes them one at a time, quorum and classic in turn, over
again; then, for each type, watches an idle consumer, and several times publishes twenty texts and a number of pills to
workers in threads of this process, whose output must be the twenty texts behind which at least one pill came out, while
their input is empty. All on one private broker.

Caveats: publisher, consumer and broker share the machine, and a confirm of a quorum queue waits for its disk. The load
averages that are printed are those of the minutes before the first run and before the end of the last one, which itself
adds about one: a figure is worth little when others were at work.
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
#: What a shell says of a program that Ctrl-C ended.
EXIT_INTERRUPTED = 130
#: Seconds for which an idle consumer is watched.
IDLE_S = 5.0
WORK = 20
#: Consumers of a queue, and pills that are published to it.
CREWS = ((2, 1), (5, 1), (13, 1), (2, 2), (3, 3))


class ToUpper(Worker):
    """The tutorials' first stage."""

    def work(self, message: str) -> None:
        """Write one text."""
        self.write(message.upper())


def rates(url: str, queue_type: str, count: int) -> tuple[float, float]:
    """Texts a second that are published, and consumed."""
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
    """Of one core, by a consumer to which nothing comes."""
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
    """What came out, and what was left."""
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
    """The median, and the lowest and highest."""
    return f"{statistics.median(figures):,.0f} ({min(figures):,.0f} to {max(figures):,.0f})"


def measure(texts: int, runs: int, rounds: int) -> None:
    """Measure, and print for each type of queue."""
    load = os.getloadavg()[0]
    with Guard() as guard, Broker(guard) as broker:
        urls = {queue_type: broker.add_vhost(queue_type) for queue_type in QUEUE_TYPES}
        if runs:
            # In turn, so that what else the machine does meanwhile meets both.
            measured = [{kind: rates(url, kind, texts) for kind, url in urls.items()} for _ in range(runs)]
            loads = f"load average before them {load:.2f}, after them {os.getloadavg()[0]:.2f}"
            print(f"{runs} runs of {texts:,} texts, median (lowest to highest); {loads}")
            for kind in urls:
                published, consumed = zip(*(run[kind] for run in measured), strict=True)
                print(f"{kind}: {spread(published)} published/s, {spread(consumed)} consumed/s", flush=True)
        for kind, url in urls.items() if rounds else ():
            print(f"{kind}: an idle consumer takes {idle_percent(url, kind):.2f}% of a core", flush=True)
            for consumers, pills in CREWS:
                outcomes = Counter(halted(url, kind, consumers, pills) for _ in range(rounds))
                for outcome, times in outcomes.items():
                    print(f"  {consumers} consumers, {pills} pills: {times} times {outcome}", flush=True)


def whole(lowest: int) -> Callable[[str], int]:
    """What reads a whole number from there on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {lowest}")
        return int(text)

    return read


def main() -> None:
    """Read the command line, and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--texts", type=whole(1), default=2000, metavar="N", help="in a run (default: %(default)s)")
    parser.add_argument("--runs", type=whole(0), default=11, metavar="N", help="of each type (default: %(default)s)")
    parser.add_argument("--rounds", type=whole(0), default=10, metavar="N", help="with pills (default: %(default)s)")
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
