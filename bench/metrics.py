"""How long `proj.metrics.figures` takes for many attempts, in seconds.

    python bench/metrics.py [ATTEMPTS] [WORKERS] [ROUNDS]

Three kinds of records: in `round-robin`, workers hold most attempts; in `fair`, the broker does; `mixed` has twenty
queues, of which each worker serves three, and attempts that failed, were lost, have an ETA or have not ended. Workers
have one slot, in `mixed` two. It prints the best, the median and the worst of the rounds, and the median of their
processor time.

Caveats: the attempts are simulated. Making them is not measured, nor is reading attempts from a journal. Other load on
the machine makes the times longer, and slightly also the processor time.
"""

from __future__ import annotations

import random
import statistics
import sys
import time

from proj.journal.attempt import Attempt
from proj.journal.records import Worker
from proj.metrics import figures

#: The beginning of the simulated record in seconds since the epoch: as large as real times, for the same rounding.
EPOCH = 1_700_000_000.0
QUEUES = [f"q{number}" for number in range(20)]


def dispatched(attempts: int, workers: int, *, fair: bool) -> tuple[list[Attempt], list[Worker]]:
    """A burst on one queue: each message goes to the worker that is free first if `fair`, else to the next in turn."""
    rng = random.Random(7)  # noqa: S311 it draws run times, not secrets
    names = [f"w{number}@bench" for number in range(workers)]
    free = [EPOCH] * workers
    made = []
    for number in range(attempts):
        index = min(range(workers), key=free.__getitem__) if fair else number % workers
        sent = EPOCH + number * 0.001
        started = max(free[index], sent) + 0.002
        received = started - 0.001 if fair else sent + 0.001
        runtime_s = rng.lognormvariate(0.0, 1.5)
        free[index] = started + runtime_s
        made.append(
            Attempt(
                task_id=str(number),
                state="succeeded",
                queue=QUEUES[0],
                worker=names[index],
                sent=sent,
                received=received,
                started=started,
                finished=free[index],
                runtime_s=runtime_s,
            )
        )
    return made, [Worker(name=name, slots=1, queues=(QUEUES[0],)) for name in names]


def mixed(attempts: int, workers: int) -> tuple[list[Attempt], list[Worker]]:
    """Attempts on many queues, at random times and in random states."""
    rng = random.Random(7)  # noqa: S311 it draws run times, not secrets
    served = {f"w{number}@bench": tuple(rng.sample(QUEUES, 3)) for number in range(workers)}
    names = list(served)
    made = []
    for number in range(attempts):
        name = rng.choice(names)
        sent = EPOCH + rng.uniform(0.0, attempts / workers * 2)
        received = sent + rng.expovariate(1.0)
        started = received + rng.expovariate(0.5)
        finished = started + rng.expovariate(1.0)
        state = rng.choices(("succeeded", "failed", "lost", "returned", "received"), (90, 4, 2, 2, 2))[0]
        made.append(
            Attempt(
                task_id=str(number),
                state=state,
                queue=rng.choice(served[name]),
                worker=name,
                eta=received + 1.0 if rng.random() < 0.1 else None,  # noqa: PLR2004 one in ten
                sent=sent,
                received=received,
                started=None if state in {"returned", "received"} else started,
                finished=None if state in {"lost", "returned", "received"} else finished,
            )
        )
        if state in {"lost", "returned"}:
            again = finished + rng.expovariate(1.0)
            made.append(
                Attempt(
                    task_id=str(number),
                    number=1,
                    state="succeeded",
                    queue=made[-1].queue,
                    worker=rng.choice(names),
                    redelivered=True,
                    sent=sent,
                    received=again,
                    started=again + 0.001,
                    finished=again + 1.0,
                    runtime_s=1.0,
                )
            )
    return made, [Worker(name=name, slots=2, queues=queues) for name, queues in served.items()]


def main() -> None:
    """Measure, and print a line for each kind of record."""
    attempts, workers, rounds = (int(text) for text in (*sys.argv[1:], "100000", "20", "5")[:3])
    for kind, (made, served_by) in (
        ("round-robin", dispatched(attempts, workers, fair=False)),
        ("fair", dispatched(attempts, workers, fair=True)),
        ("mixed", mixed(attempts, workers)),
    ):
        took, worked = [], []
        for _ in range(rounds):
            begun, begun_work = time.perf_counter(), time.process_time()
            found = figures(made, served_by)
            took.append(time.perf_counter() - begun)
            worked.append(time.process_time() - begun_work)
        print(
            f"{kind}: {len(made)} attempts, {workers} workers: best {min(took):.2f} s, "
            f"median {statistics.median(took):.2f} s, worst {max(took):.2f} s; "
            f"processor {statistics.median(worked):.2f} s; "
            f"jain_busy {found.jain_busy:.2f}, avoidable {found.avoidable_wait_total_s:.0f} s of "
            f"{found.held_wait_total_s:.0f} s held"
        )


if __name__ == "__main__":
    main()
