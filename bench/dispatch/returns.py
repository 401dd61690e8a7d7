"""How many messages of tasks that do nothing go back to their queue: each return costs more than a task."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dispatch.consumption import consume
from dispatch.consumption_table import show, summary
from dispatch.row import Row, Shape
from dispatch.rows import proj

if TYPE_CHECKING:
    from dispatch.bench import Bench

#: As a multiple of the usual number of tasks.
SCALE = 8
SLOTS = 2


def rows() -> list[Row]:
    """One worker and two, which log each task as most workers do, and as ours do unless they are told to."""
    return [
        replace(
            proj(f"{count}-{name}", Shape(slots=SLOTS, workers=count), *options, dispatch="adaptive", scale=SCALE),
            beside=f"{count}-silent" if options else None,
        )
        for count in (1, 2)
        for name, options in (("silent", ()), ("logged", ("--loglevel", "INFO")))
    ]


def names() -> list[str]:
    """The names of the rows."""
    return [row.name for row in rows()]


def measure(bench: Bench) -> None:
    """Measure all rows, and print their table."""
    all_rows = rows()
    title = "Zero-dot tasks given back, workers of two slots, prefork pool"
    found = bench.in_turn(
        title, all_rows, lambda row: consume(row, bench.tasks, guard=bench.guard, broker=bench.broker)
    )
    show(bench, title, summary(all_rows, found))
