"""What reaches whom: two messages by each exchange and some keys, at once and delayed, and which workers did them.

    python bench/exchanges.py

Six workers of one slot on a private broker; who did what is read from their logs. The Markdown table in the README is
what this prints.

Caveats: a worker counts as not reached when its log says nothing for two seconds. That a delayed task which nobody
asks for is kept is not measured here: the broker looks again every three minutes (180 s were seen).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from itertools import count

from proj.errors import ProjError, Unroutable
from proj.lab.broker import Broker
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.queues import WORK_QUEUE
from proj.tasks import work

#: Workers by their names, with their PROJ_BIND.
WORKERS = {"A": "", "B": "*.heavy", "C": "image.*", "D": "image.*", "E": "#", "F": "image.heavy"}
#: Exchange and key of each row; by the default exchange, the key is a queue.
ROWS = (
    ("", WORK_QUEUE),
    ("broadcast", ""),
    ("direct", "image.heavy"),
    ("direct", "image.light"),
    ("topic", "image.heavy"),
    ("topic", "image.light"),
    ("topic", "sound.heavy"),
    ("topic", "image.heavy.urgent"),
)
#: Seconds of the countdown with which the same is sent again.
DELAY_S = 1.0
#: Seconds without a further line in any log after which all is done.
QUIET_S = 2.0
START_TIMEOUT_S = 60.0
_NUMBERS = count()


def main() -> None:
    """Send, wait, and print."""
    with Guard() as guard, Broker(guard) as broker:
        os.environ["CELERY_BROKER_URL"] = url = broker.url()
        workers = {
            name: Process(
                f"worker {name}",
                [
                    *(sys.executable, "-m", "celery", "-A", "proj", "worker", "--hostname", f"{name}@x"),
                    *("--concurrency", "1", "--loglevel", "INFO", "--without-mingle", "--without-gossip"),
                ],
                guard=guard,
                environment=child_environment(CELERY_BROKER_URL=url, PROJ_BIND=bind),
                log=guard.folder / f"{name}.log",
            )
            for name, bind in WORKERS.items()
        }
        print(", ".join(f"{name} `PROJ_BIND={bind}`" if bind else f"{name} without" for name, bind in WORKERS.items()))
        print()
        print_row("`--exchange`", "`--key`", "is done by", "and with a countdown by")
        print_row("---", "---", "---", "---")
        print_row("`topic`, before any worker", "`image.heavy`", outcome(workers, "topic", "image.heavy"), "")
        print_row("`broadcast`, before any worker", "", outcome(workers, "broadcast", ""), "")
        for worker in workers.values():
            worker.start()
        for worker in workers.values():
            worker.wait_until_ready(lambda worker=worker: " ready." in worker.log_text(), timeout_s=START_TIMEOUT_S)
        for exchange, key in ROWS:
            at_once = outcome(workers, exchange, key)
            delayed = outcome(workers, exchange, key, countdown_s=DELAY_S)
            print_row(f"`{exchange}`" if exchange else "none", f"`{key}`" if exchange and key else "", at_once, delayed)


def print_row(*cells: str) -> None:
    """Print one row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def outcome(workers: dict[str, Process], exchange: str, key: str, countdown_s: float | None = None) -> str:
    """Who did two messages that were sent there, or what their sender was told."""
    texts = [f"message {next(_NUMBERS)}" for _ in range(2)]
    address = {"exchange": exchange, "routing_key": key} if exchange else {"queue": key}
    try:
        for text in texts:
            work.apply_async((text,), countdown=countdown_s, ignore_result=True, **address)
    except Unroutable:
        return "nobody: `Unroutable`"
    if countdown_s is not None:
        time.sleep(countdown_s)
    return who({name: [times(worker, text) for text in texts] for name, worker in settled(workers).items()})


def settled(workers: dict[str, Process]) -> dict[str, Process]:
    """The workers, when their logs have said nothing new for a while."""
    said, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        now = sum(len(worker.log_text()) for worker in workers.values())
        if now != said:
            said, since = now, time.monotonic()
        time.sleep(0.1)
    return workers


def who(done: dict[str, list[int]]) -> str:
    """In words: each that did both messages once, or one of those that share them; else how often each did each."""
    words = []
    for bind in dict.fromkeys(WORKERS.values()):
        crew = {name: done[name] for name in done if WORKERS[name] == bind}
        if all(own == [1, 1] for own in crew.values()):
            words += list(crew)
        elif [sum(own) for own in zip(*crew.values(), strict=True)] == [1, 1]:
            words.append(" or ".join(crew))
        elif any(map(any, crew.values())):
            words.append(str(crew))
    return ", ".join(words) or "nobody: the broker keeps it until one asks for it"


def times(worker: Process, text: str) -> int:
    """How often the worker's log says that it received the text."""
    return len(re.findall(rf" \[x\] Received '{text}'$", worker.log_text(), flags=re.MULTILINE))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        main()
    except ProjError as error:
        error.show()
        sys.exit(error.exit_code)
