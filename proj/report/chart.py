"""Timelines as text: one row for each slot, and one for the messages that a worker held. For terminals and Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.printable import printable
from proj.report.tables import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Columns of a timeline.
WIDTH = 60
IDLE = "·"
LOST = "\N{MULTIPLICATION SIGN}"
FAILED = "!"
#: The sign of each kind of bar; a later one is drawn over an earlier one.
SIGNS = {"running": "█", "redelivered": "▓", "unfinished": "░", "failed": FAILED, "lost": LOST}
LEGEND = (
    f"█ running  ▓ running again after a redelivery  ░ no end reported  {FAILED} failed  {LOST} lost  {IDLE} idle  "
    "1-9+ messages held"
)
#: The most rows of slots of one run.
MAX_ROWS = 24
#: The most held messages that one digit shows; more are "+".
MOST_DIGIT = 9


def chart(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the timelines of all runs, on one scale of time."""
    span_s = max((run["span_s"] for run in runs), default=0.0) or 1.0
    margin = max([len(short_name(group["worker"])) for run in runs for group in run["groups"]] + [4]) + 3
    lines = []
    for run in runs:
        lines.append(printable(run["name"]))
        rows = 0
        for group in run["groups"]:
            if rows >= MAX_ROWS:
                lines.append("…")
                break
            rows += len(group["lanes"])
            name = short_name(group["worker"])
            for slot, lane in enumerate(group["lanes"], 1):
                lines.append(f"{name if slot == 1 else '':<{margin - 3}} {slot % 100:>2}{_bars(lane, run, span_s)}")
            if any(group["held"]["values"]):
                lines.append(f"{'held':>{margin}}{_held(group['held'], run, span_s)}")
        lines.append("")
    return [*lines, time_axis(margin, span_s), LEGEND]


def short_name(worker: str) -> str:
    """A worker's node name without its host, safe to print."""
    return printable(worker.partition("@")[0])


def time_axis(margin: int, span_s: float) -> str:
    """The last line of a timeline: 0 at its left end, and its length at its right end."""
    return " " * margin + "0" + seconds(span_s).rjust(WIDTH - 1)


def draw_bar(cells: list[str], begin_s: float, end_s: float, sign: str, *, span_s: float) -> None:
    """Fill the cells of a row between two times, counted from the start of the timeline; at least one cell."""
    first = min(column(begin_s, span_s), WIDTH - 1)
    after = max(first + 1, min(column(end_s, span_s), WIDTH))
    cells[first:after] = [sign] * (after - first)


def column(time_s: float, span_s: float) -> int:
    """The column of a time in a timeline of `span_s` seconds."""
    return round(time_s / span_s * WIDTH)


def _bars(lane: Sequence[Sequence[Any]], run: Mapping[str, Any], span_s: float) -> str:
    end = column(run["span_s"], span_s)
    cells = [IDLE] * end + [" "] * (WIDTH - end)
    for kind, sign in SIGNS.items():
        for bar in lane:
            if bar[2] == kind:
                draw_bar(cells, bar[0], bar[1], sign, span_s=span_s)
    return "".join(cells)


def _held(held: Mapping[str, Sequence[Any]], run: Mapping[str, Any], span_s: float) -> str:
    """For each column, the most messages that were held in its time."""
    most = [0] * WIDTH
    ends = [*held["times"][1:], run["span_s"]]
    for time, end, value in zip(held["times"], ends, held["values"], strict=True):
        first = max(0, min(column(time, span_s), WIDTH - 1))
        for place in range(first, min(WIDTH, max(first + 1, column(end, span_s)))):
            most[place] = max(most[place], value)
    return "".join(" " if value == 0 else str(value) if value <= MOST_DIGIT else "+" for value in most).rstrip()
