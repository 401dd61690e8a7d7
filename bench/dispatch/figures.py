"""The figures, by the name of their option."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dispatch import idle, loads, publishing, returns, round_trips, zero_dots
from dispatch.row import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from dispatch.bench import Bench


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure."""

    #: One sentence for the help.
    what: str
    #: Measures it, and prints its tables.
    measure: Callable[[Bench], None]
    #: The names of its rows.
    names: Callable[[], list[str]]


def zero_dot_figure(what: str, shape: Shape) -> Figure:
    """Zero-dot tasks in workers of the shape."""
    return Figure(
        what=f"Zero-dot tasks: {what}.",
        measure=partial(zero_dots.measure, shape=shape),
        names=partial(zero_dots.names, shape),
    )


FIGURES = {
    "zero_dots": zero_dot_figure("one worker with one prefork slot", Shape()),
    "threads": zero_dot_figure("one worker with one slot, threads pool", Shape(pool="threads")),
    "two_workers": zero_dot_figure("two workers with one prefork slot each", Shape(workers=2)),
    "two_slots": zero_dot_figure("one worker with two prefork slots", Shape(slots=2)),
    "returns": Figure(
        what="Messages given back of zero-dot tasks, with one and two workers of two prefork slots.",
        measure=returns.measure,
        names=returns.names,
    ),
    "round_trips": Figure(
        what="Zero-dot tasks with 1, 5 and 20 ms between worker and broker.",
        measure=round_trips.measure,
        names=round_trips.names,
    ),
    "loads": Figure(
        what="Makespan and waits under uneven loads, 2 and 4 workers, in each dispatch mode.",
        measure=loads.measure,
        names=loads.names,
    ),
    "publishing": Figure(
        what="Publishing: delay, send_many, and others.", measure=publishing.measure, names=publishing.names
    ),
    "idle": Figure(
        what="The start of a worker, and what an idle one costs in a minute.", measure=idle.measure, names=idle.names
    ),
}
