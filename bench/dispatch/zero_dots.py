"""Tasks that do nothing, in workers of several shapes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dispatch.consumption import consume
from dispatch.consumption_table import summary, table
from dispatch.row import Shape
from dispatch.rows import rows
from proj.commands.terminal.console import console

if TYPE_CHECKING:
    from dispatch.bench import Bench


def one_slot(bench: Bench) -> None:
    """One worker with one prefork slot."""
    measure(bench, Shape())


def one_slot_names() -> list[str]:
    """The names of the rows."""
    return [row.name for row in rows(Shape())]


def measure(bench: Bench, shape: Shape) -> None:
    """Measure all rows of the shape, and print their table."""
    all_rows = rows(shape)
    title = f"Zero-dot tasks, {shape}"
    load = os.getloadavg()[0]
    found = bench.in_turn(
        title, all_rows, lambda row: consume(row, bench.tasks, guard=bench.guard, broker=bench.broker)
    )
    lines = summary(all_rows, found)
    bench.results[title] = {"load": [load, os.getloadavg()[0]], "rows": lines}
    loads = f"load average before {load:.1f}, after {os.getloadavg()[0]:.1f}"
    console().print(table(f"{title}: {bench.rounds} rounds of {bench.tasks} tasks; {loads}", lines))
