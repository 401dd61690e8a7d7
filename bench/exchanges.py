"""Which workers get a message: two messages to each exchange with several keys, at once and with a countdown.

    python bench/exchanges.py

Six workers with one slot each, on a private broker; their logs tell which worker did which message. It prints a
Markdown table.

Caveats: a message counts as not done if no log has a new line for two seconds. It does not measure that the broker
keeps a delayed task that no worker takes: the broker tries again every three minutes (180 s were measured).
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

#: The PROJ_BIND of each worker, by its name.
WORKERS = {"A": "", "B": "*.heavy", "C": "image.*", "D": "image.*", "E": "#", "F": "image.heavy"}
#: Exchange and routing key of each row; for the default exchange, the key is a queue.
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
#: Seconds of the countdown.
DELAY_S = 1.0
#: Seconds without a new line in any log after which all work is done.
QUIET_S = 2.0
START_TIMEOUT_S = 60.0
_NUMBERS = count()


def main() -> None:
    """Send the messages, wait for the workers, and print the table."""
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
    """The workers that did two messages, in words; or the error that their sender got."""
    texts = [f"message {next(_NUMBERS)}" for _ in range(2)]
    address = {"exchange": exchange, "routing_key": key} if exchange else {"queue": key}
    try:
        for text in texts:
            work.apply_async((text,), countdown=countdown_s, ignore_result=True, **address)
    except Unroutable:
        return "no worker: `Unroutable`"
    if countdown_s is not None:
        time.sleep(countdown_s)
    return who({name: [times(worker, text) for text in texts] for name, worker in settled(workers).items()})


def settled(workers: dict[str, Process]) -> dict[str, Process]:
    """The workers, once their logs have had no new line for `QUIET_S` seconds."""
    length, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        now = sum(len(worker.log_text()) for worker in workers.values())
        if now != length:
            length, since = now, time.monotonic()
        time.sleep(0.1)
    return workers


def who(done: dict[str, list[int]]) -> str:
    """The workers that did both messages, in words; workers that share a queue are joined with "or"."""
    words = []
    for bind in dict.fromkeys(WORKERS.values()):
        sharing = {name: done[name] for name in done if WORKERS[name] == bind}
        if all(own == [1, 1] for own in sharing.values()):
            words += list(sharing)
        elif [sum(own) for own in zip(*sharing.values(), strict=True)] == [1, 1]:
            words.append(" or ".join(sharing))
        elif any(map(any, sharing.values())):
            words.append(str(sharing))
    return ", ".join(words) or "no worker: the broker keeps it until a worker binds to it"


def times(worker: Process, text: str) -> int:
    """How often the worker received the text, by its log."""
    return len(re.findall(rf" \[x\] Received '{text}'$", worker.log_text(), flags=re.MULTILINE))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        main()
    except ProjError as error:
        error.show()
        sys.exit(error.exit_code)
