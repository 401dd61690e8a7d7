"""The table of what rows consume: medians of all rounds, and medians of the ratios of each round."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from dispatch.bench import median, median_ratio
from dispatch.row import DEFAULT
from proj.commands.terminal.console import console

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from dispatch.bench import Bench
    from dispatch.consumption import Consumption
    from dispatch.row import Row

Found = dict[str, list["Consumption | None"]]


def summary(rows: Sequence[Row], found: Found) -> list[dict[str, Any]]:
    """For each row its medians and its ratios, to the first row where Celery's default is not measured."""
    base = DEFAULT if DEFAULT in found else next(iter(found), None)
    rates = {name: _column(rounds, "rate") for name, rounds in found.items()}
    beside = {row.name: row.beside for row in rows}
    lines = []
    for name, rounds in found.items():
        other = beside[name] if beside[name] in found else None
        measured = [figures for figures in rounds if figures is not None]
        lines.append(
            {
                "row": name,
                **{
                    what: median(_column(rounds, what))
                    for what in ("rate", "main_us", "pool_us", "broker_us", "events", "given_back")
                },
                "lowest": min((figures.rate for figures in measured), default=None),
                "highest": max((figures.rate for figures in measured), default=None),
                "compared_with": base,
                "ratio": median_ratio(rates[name], rates[base]) if base else None,
                "beside": other,
                "ratio_beside": median_ratio(rates[name], rates[other]) if other else None,
                "left": sum(figures.left for figures in measured),
                "missing": len(rounds) - len(measured),
                "rounds": [figures and figures.figures() for figures in rounds],
            }
        )
    return lines


def show(bench: Bench, title: str, lines: list[dict[str, Any]]) -> None:
    """Print the table, and keep it for JSON."""
    bench.results[title] = {"load": bench.loads(), "rows": lines}
    console().print(table(f"{title}: {bench.rounds} rounds of {bench.tasks} tasks; {bench.load_text()}", lines))


def table(title: str, lines: Sequence[Mapping[str, Any]]) -> Table:
    """The summary as a table for people."""
    drawn = Table(title=title, title_justify="left")
    drawn.add_column("row")
    base = lines[0]["compared_with"] if lines else ""
    columns = (
        "tasks/s",
        "lowest to highest",
        f"to {base}",
        "to its like",
        "main µs",
        "pool µs",
        "broker µs",
        "events",
        "given back",
        "left",
    )
    for column in columns:
        drawn.add_column(column, justify="right")
    for line in lines:
        drawn.add_row(
            line["row"] + (f" ({line['missing']} missing)" if line["missing"] else ""),
            number(line["rate"]),
            f"{number(line['lowest'])} to {number(line['highest'])}",
            number(line["ratio"], 2),
            number(line["ratio_beside"], 2),
            *(number(line[what]) for what in ("main_us", "pool_us", "broker_us")),
            number(line["events"], 1),
            number(line["given_back"]),
            str(line["left"] or ""),
        )
    return drawn


def number(figure: float | None, digits: int = 0) -> str:
    """The figure for people; nothing where there is none."""
    return "" if figure is None else f"{figure:,.{digits}f}"


def _column(rounds: Sequence[Consumption | None], what: str) -> list[float | None]:
    return [None if figures is None else getattr(figures, what) for figures in rounds]
