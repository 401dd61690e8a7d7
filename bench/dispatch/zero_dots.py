"""Tasks that do nothing, in workers of several shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch.consumption import consume
from dispatch.consumption_table import show, summary
from dispatch.rows import rows

if TYPE_CHECKING:
    from dispatch.bench import Bench
    from dispatch.row import Shape


def names(shape: Shape) -> list[str]:
    """The names of the rows."""
    return [row.name for row in rows(shape)]


def measure(bench: Bench, shape: Shape) -> None:
    """Measure all rows of the shape, and print their table."""
    all_rows = rows(shape)
    title = f"Zero-dot tasks, {shape}"
    found = bench.in_turn(
        title, all_rows, lambda row: consume(row, bench.tasks, guard=bench.guard, broker=bench.broker)
    )
    show(bench, title, summary(all_rows, found))
