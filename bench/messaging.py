"""Message queues: how fast texts go through one, what an idle consumer costs, and whether one pill ends everybody.

    python bench/messaging.py [TEXTS [ROUNDS]]

Publishes TEXTS one after the other, each confirmed, and consumes them one at a time; then, ROUNDS times, publishes
twenty texts and a number of pills to workers in threads of this process, whose output must be the twenty texts behind
which at least one pill came out, while their input is empty. Quorum and classic, on one private broker.

Caveats: publisher, consumer and broker share the machine, and a confirm of a quorum queue waits for its disk.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from itertools import zip_longest

from kombu import Connection

from proj.lab.broker import Broker
from proj.lab.guard import Guard
from proj.messaging import MessageQueue, Worker, launch

PILL = "HALT"
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


def main() -> None:
    """Measure, and print for each type of queue."""
    count, rounds = (int(given or usual) for given, usual in zip_longest(sys.argv[1:], (2000, 10)))
    with Guard() as guard, Broker(guard) as broker:
        for queue_type in ("quorum", "classic"):
            url = broker.add_vhost(queue_type)
            published, consumed = rates(url, queue_type, count)
            idle = idle_percent(url, queue_type)
            print(f"{queue_type}: {published:.0f} published/s, {consumed:.0f} consumed/s, idle {idle:.2f}% of a core")
            for consumers, pills in CREWS:
                outcomes = Counter(halted(url, queue_type, consumers, pills) for _ in range(rounds))
                for outcome, times in outcomes.items():
                    print(f"  {consumers} consumers, {pills} pills: {times} times {outcome}")


if __name__ == "__main__":
    main()
