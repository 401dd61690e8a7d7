"""The memory of the dashboard and of stock Flower, as it goes on.

    python bench/memory.py [SECONDS [EVENTS_PER_SECOND]] [stock|ours]

Each gets 6,000 forged events a second for ten minutes, as many as in an hour with 1,000, while a client requests a page
every second. The memory (RSS) is printed after each sixth.

Caveats: those of bench/dashboard.py, whose events these are. Memory that Python has freed may stay with the process.
"""

from __future__ import annotations

import json
import sys
import time

import psutil
from dashboard import COMMANDS, LOADED_RATE, WATCHED, Monitor, Poll, kinds_asked_for, publisher

from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard

#: How often the memory is printed.
PARTS = 6
#: Seconds, without an argument.
SECONDS = 600.0


def memory(kind: str, seconds: float, rate: float) -> float:
    """Print the memory of one of them, and return the last, in MiB."""
    mib = 0.0
    with Guard() as guard, Broker(guard) as broker, Monitor(kind, guard, broker) as monitor:
        monitor.wait_until_ready(monitor.answers, timeout_s=60)
        with publisher(guard, broker, rate) as process, Poll(monitor, WATCHED[kind], 1.0):
            for part in range(1, PARTS + 1):
                time.sleep(seconds / PARTS)
                mib = psutil.Process(monitor.pid).memory_info().rss / 2**20
                print(f"  {kind} after {seconds * part / PARTS:,.0f} s: {mib:.0f} MiB", flush=True)
            process.stop()
        told = json.loads(process.log_text().splitlines()[-1])
    print(f"{kind}: {told['published']:,} events, {told['published'] / told['took_s']:,.0f} a second")
    return mib


def main() -> None:
    """Measure both in turn."""
    numbers = [float(word) for word in sys.argv[1:] if word not in COMMANDS]
    seconds, rate = (*numbers, *(SECONDS, LOADED_RATE)[len(numbers) :])
    last = {kind: memory(kind, seconds, rate) for kind in kinds_asked_for()}
    if len(last) > 1:
        print(f"ours / stock: {last['ours'] / last['stock']:.2f}")


if __name__ == "__main__":
    main()
