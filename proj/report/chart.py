"""The timeline in letters: a row a slot, a row of what the worker held, for terminals and pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.report.tables import seconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Columns of a timeline.
WIDTH = 60
#: What stands for each kind of bar; a later one is drawn over an earlier one.
SIGNS = {"running": "█", "redelivered": "▓", "unfinished": "░", "failed": "!", "lost": "×"}  # noqa: RUF001 a cross, as in the pictures
LEGEND = (
    "█ running  ▓ running again after a redelivery  ░ no end heard of  ! failed  × lost  · idle  1-9+ messages held"  # noqa: RUF001 the same
)
#: How many rows of slots a run may have.
MAX_ROWS = 24


def chart(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of all runs' timelines, on one scale of time."""
    span_s = max((run["span_s"] for run in runs), default=0.0) or 1.0
    names = [group["worker"].partition("@")[0] for run in runs for group in run["groups"]]
    margin = max([len(name) for name in names] + [4]) + 3
    lines = []
    for run in runs:
        lines.append(f"{run['name']}")
        rows = 0
        for group in run["groups"]:
            if rows >= MAX_ROWS:
                lines.append("…")
                break
            rows += len(group["lanes"])
            name = group["worker"].partition("@")[0]
            for slot, lane in enumerate(group["lanes"], 1):
                lines.append(f"{name if slot == 1 else '':<{margin - 3}} {slot % 100:>2}{_bars(lane, run, span_s)}")
            if any(group["held"]["values"]):
                lines.append(f"{'held':>{margin}}{_held(group['held'], run, span_s)}")
        lines.append("")
    end = seconds(span_s)
    return [*lines, " " * margin + "0" + end.rjust(WIDTH - 1), LEGEND]


def _bars(lane: Sequence[Sequence[Any]], run: Mapping[str, Any], span_s: float) -> str:
    cells = ["·"] * _column(run["span_s"], span_s) + [" "] * (WIDTH - _column(run["span_s"], span_s))
    for kind, sign in SIGNS.items():
        for bar in lane:
            if bar[2] == kind:
                first = min(_column(bar[0], span_s), WIDTH - 1)
                last = max(first + 1, _column(bar[1], span_s))
                cells[first:last] = [sign] * (last - first)
    return "".join(cells[:WIDTH])


def _held(held: Mapping[str, Sequence[Any]], run: Mapping[str, Any], span_s: float) -> str:
    """The most that was held in the time of each column."""
    most = [0] * WIDTH
    until = [*held["times"][1:], run["span_s"]]
    for time, end, value in zip(held["times"], until, held["values"], strict=True):
        first = max(0, min(_column(time, span_s), WIDTH - 1))
        for column in range(first, min(WIDTH, max(first + 1, _column(end, span_s)))):
            most[column] = max(most[column], value)
    return "".join(" " if value == 0 else str(value) if value <= 9 else "+" for value in most).rstrip()  # noqa: PLR2004 one digit


def _column(time: float, span_s: float) -> int:
    return round(time / span_s * WIDTH)
