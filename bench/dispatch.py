"""How fast tasks are dispatched, and what they cost: ours beside plain Celery, dramatiq and a bare loop with pika."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from dispatch.bench import Bench
from dispatch.figures import FIGURES

from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.lab.runs.machine import machine

#: Rounds and tasks; and with --quick.
ROUNDS, QUICK_ROUNDS = 5, 1
TASKS, QUICK_TASKS = 4000, 1000
#: The exit code of a program that Ctrl-C ended, as a shell reports it.
EXIT_INTERRUPTED = 130

HELP = f"""{__doc__}

All of it uses one private broker (PROJ_RABBITMQ=4.3 chooses its version) and a virtual host for each measurement. Rows
are measured in turn (A, B, C, A, B, C, …). A table has the medians of all rounds, and the medians of the ratios to
Celery's default in the same round. Without an option for a
figure, all figures are measured. Ctrl-C ends the measurement and prints what it has.

\b
To compare two rows, in about a minute:
    python bench/dispatch.py --zero-dots --row celery-default --row proj-fair-events-quorum --rounds 3
All of ours:
    python bench/dispatch.py --zero-dots --row celery-default --row 'proj-*'
The names of all rows:
    python bench/dispatch.py --zero-dots --list

\b
Columns:
    tasks/s     from the first to the last of the measured tasks; the start of the worker is not in it
    to …        the median ratio to this row, in the same round
    to its like the same to plain Celery with the same queue, window and events; for proj-shipped, celery-rpc
    main µs     processor time of the worker's main process, a task; dramatiq and pika have no other one
    pool µs     processor time of its pool processes, a task
    broker µs   processor time of RabbitMQ, a task
    events      task events a task that a monitor has received
    given back  messages that workers in adaptive dispatch have given back, the warm-up included
    left        messages that were still there after the worker had ended; anything but nothing is a defect

\b
Caveats:
  - Worker, broker, monitor and the measurement share the machine. With fewer cores than these need, a row that costs
    the broker or the monitor more gets a lower rate by that alone. Look at the processor times too.
  - The processor time of a process includes what the kernel does for it. It grows when other load takes the caches.
  - The workers start on an empty queue, are stopped (SIGSTOP) while it is filled, and go on together. Before the first
    measured task come as many as a tenth of them, and at least 100.
  - "events" rows send task events to one consumer that only counts them. Rows without events have none.
  - In rows with results, the results stay in their reply queue; no client reads them.
  - Every Celery worker in the environment loads the commands that proj and Flower add to `celery`, plain ones too.
  - Messages are small and the queue is never empty: what is measured is the cost of a task, not of its wait.
  - --returns: the workers log each task (INFO), as most do, and get eight times the tasks of other figures.
  - --round-trips: the proxy is one more process. The rows "direct" and "0ms" show what it costs by itself; on stderr is
    what a request through it took.
  - --loads: "to ideal" compares with the least makespan of a dispatcher that knows when tasks come. Delays are whole
    seconds. With some dozens of tasks, the 99th percentile is the longest wait. Work is sleep, so that workers do not
    compete for processors.
  - --publishing: plain Celery has our settings (results over the broker, task-sent events), without our publishing.
  - --idle: the idle workers run side by side, so that all have the same minute.
"""


@click.command(help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--row", "wanted", multiple=True, metavar="NAME", help="Only rows of this name; may have * in it.")
@click.option("--rounds", type=click.IntRange(1), help=f"Rounds (default {ROUNDS}; with --quick {QUICK_ROUNDS}).")
@click.option("--tasks", type=click.IntRange(10), help=f"Tasks a row (default {TASKS}; with --quick {QUICK_TASKS}).")
@click.option("--quick", is_flag=True, help="One round, and less of everything: whether it works, not how fast.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all figures there.")
@click.option("--list", "listing", is_flag=True, help="Only print the names of the rows.")
def main(
    wanted: tuple[str, ...],
    rounds: int | None,
    tasks: int | None,
    *,
    quick: bool,
    json_file: Path | None,
    listing: bool,
    **asked: bool,
) -> None:
    """Measure the figures that were asked for, and print a table for each."""
    figures = [figure for name, figure in FIGURES.items() if asked[name] or not any(asked.values())]
    if listing:
        for figure in figures:
            click.echo("\n".join(figure.names()))
        return
    with Guard() as guard, Broker(guard) as broker:
        bench = Bench(
            guard=guard,
            broker=broker,
            rounds=rounds or (QUICK_ROUNDS if quick else ROUNDS),
            tasks=tasks or (QUICK_TASKS if quick else TASKS),
            quick=quick,
            wanted=wanted,
        )
        bench.results["machine"] = machine(broker.management)
        for figure in figures:
            figure.measure(bench)
            if json_file is not None:
                # After each, so that an interrupted run keeps what it has found.
                json_file.write_text(json.dumps(bench.results, indent=1))
            if bench.interrupted:
                sys.exit(EXIT_INTERRUPTED)


for name, figure in FIGURES.items():
    main = click.option(f"--{name.replace('_', '-')}", name, is_flag=True, help=figure.what)(main)

if __name__ == "__main__":
    main()
