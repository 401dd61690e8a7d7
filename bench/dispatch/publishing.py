"""How fast tasks are published: the ways of `publish.py`, with more rounds, for both types of queue."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import publish
from rich.table import Table

from dispatch.bench import median, median_ratio
from dispatch.consumption_table import number
from proj.commands.terminal.console import console

if TYPE_CHECKING:
    from dispatch.bench import Bench


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to publish to one type of queue."""

    way: str
    queue_type: str
    needs: str | None
    dispatch: str | None = None

    @property
    def name(self) -> str:
        """The name, by which it is asked for."""
        return f"{self.way} ({self.queue_type})"


def ways() -> list[Way]:
    """All ways; those of one type of queue follow each other."""
    return [
        Way(way=way, queue_type=queue_type, needs=module)
        for queue_type in publish.QUEUE_TYPES
        for way, module in publish.WAYS.items()
    ]


def names() -> list[str]:
    """The names of the rows."""
    return [way.name for way in ways()]


def measure(bench: Bench) -> None:
    """Measure all ways, and print their table."""
    title = "Publishing, one process"
    found = bench.in_turn(
        title, ways(), lambda way: publish.published(bench.broker, way.queue_type, way.way, bench.tasks)
    )
    lines = []
    for way in ways():
        if way.name not in found:
            continue
        rates = [sample and sample.rate for sample in found[way.name]]
        base = [sample and sample.rate for sample in found.get(f"{publish.STOCK} ({way.queue_type})", [])]
        lines.append(
            {
                "row": way.name,
                "rate": median(rates),
                "ratio": median_ratio(rates, base) if base else None,
                "cpu_us": median([sample and sample.cpu_us for sample in found[way.name]]),
                "rounds": [sample and asdict(sample) for sample in found[way.name]],
            }
        )
    bench.results[title] = {"load": bench.loads(), "rows": lines}
    drawn = Table(
        title=f"{title}: {bench.rounds} rounds of {bench.tasks} tasks; {bench.load_text()}", title_justify="left"
    )
    drawn.add_column("way")
    for heading in ("tasks/s", f"to {publish.STOCK}", "processor µs"):
        drawn.add_column(heading, justify="right")
    for line in lines:
        drawn.add_row(line["row"], number(line["rate"]), number(line["ratio"], 2), number(line["cpu_us"]))
    console().print(drawn)
