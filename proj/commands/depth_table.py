"""The depths of queues as a table that people read or JSON for programs, once or again and again."""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from proj.errors import ProjError
from proj.flow import Flow, Look, Trend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.depth import Depth, Gauge, Progress

#: What one look alone shows of a queue.
COUNTS = ("name", "type", "ready", "unacknowledged", "consumers")
MINUTE_S = 60
HOUR_S = 60 * MINUTE_S
DAY_S = 24 * HOUR_S


def show_depths(
    gauge: Gauge, *, interval_s: float | None, show_all: bool, as_json: bool, one_a_slot: bool = False
) -> None:
    """Print what the gauge reads: once, or every `interval_s` seconds until Ctrl-C, then with how it changes.

    `one_a_slot` says that the app's workers acknowledge late and hold one message a slot.

    Raises:
        NoBroker: no broker answers.
    """
    console = Console()
    looks = _looks(gauge, interval_s=interval_s, show_all=show_all, one_a_slot=one_a_slot)
    try:
        if as_json:
            for look in looks:
                click.echo(json.dumps([_json(depth, flow) for depth, flow in look]))
        elif interval_s is None or not console.is_terminal:
            for look in looks:
                console.print(table(look))
        else:
            with Live(console=console, auto_refresh=False) as live:
                for look in looks:
                    live.update(table(look), refresh=True)
    except KeyboardInterrupt:
        if interval_s is None:
            raise
    if gauge.doubt:
        click.echo(gauge.doubt, err=True)


def open_management(gauge: Gauge) -> None:
    """Open the management page in the user's browser, and print its address.

    Raises:
        NoManagement: it does not answer.
        ProjError: there is no browser to open it with.
    """
    page = gauge.management.page
    gauge.management.request("GET", "overview")
    click.echo(page)
    if click.launch(page) != 0:
        raise ProjError(f"No browser could be started here; open {page} in one.")


def table(look: list[tuple[Depth, Flow | None]]) -> Table:
    """One look, with the flow where there is one, narrow enough for a hundred columns."""
    watched = any(flow is not None for _depth, flow in look)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0) if watched else (0, 1))
    table.add_column("name", overflow="fold")
    if not watched:  # the type makes room for what changes
        table.add_column("type")
    for heading in ("ready", "unacked" if watched else "unacknowledged", "consumers"):
        table.add_column(heading, justify="right")
    for heading in ("in/s", "out/s", "growth/s", "empty in", "slots\nneeded") if watched else ():
        table.add_column(heading, justify="right")
    for depth, flow in look:
        unacknowledged = "?" if depth.unacknowledged is None else str(depth.unacknowledged)
        ready = str(depth.ready) if depth.limit is None else f"{depth.ready} / {depth.limit}"
        counts = (ready, unacknowledged, str(depth.consumers))
        table.add_row(depth.name, *(_cells(counts, flow) if flow else (depth.type or "?", *counts)))
    return table


def _looks(
    gauge: Gauge, *, interval_s: float | None, show_all: bool, one_a_slot: bool
) -> Iterator[list[tuple[Depth, Flow | None]]]:
    trends: defaultdict[str, Trend] = defaultdict(Trend)
    while True:
        depths = gauge.read()
        flows: dict[str, Flow] = {}
        if interval_s is not None:
            progress = gauge.read_progress() if gauge.doubt is None else {}
            now_s = time.monotonic()
            for depth in depths:
                look = _look(depth, progress.get(depth.name), now_s=now_s, one_a_slot=one_a_slot)
                flows[depth.name] = trends[depth.name].add(look)
        yield [(depth, flows.get(depth.name)) for depth in depths if show_all or not depth.is_plumbing]
        if interval_s is None:
            return
        time.sleep(interval_s)


def _look(depth: Depth, progress: Progress | None, *, now_s: float, one_a_slot: bool) -> Look:
    return Look(
        at_s=now_s,
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        finished=None if progress is None else progress.finished,
        one_a_slot=one_a_slot and progress is not None and progress.windowed,
    )


def _json(depth: Depth, flow: Flow | None) -> dict[str, object]:
    counts = {name: getattr(depth, name) for name in COUNTS}
    if flow is None:
        return counts
    figures = {name: None if value is None else round(value, 3) for name, value in asdict(flow).items()}
    return {**counts, "limit": depth.limit, **figures}


def _cells(counts: tuple[str, str, str], flow: Flow) -> list[str]:
    growth = _rate(flow.growth_per_s, signed=True)
    if flow.empty_in_s is not None:
        empty_in = duration(flow.empty_in_s)
    else:
        empty_in = "?" if flow.growth_per_s is None else "never"
    slots = "?" if flow.slots is None else str(math.ceil(round(flow.slots, 1)))
    return [*counts, _rate(flow.in_per_s), _rate(flow.out_per_s), growth, empty_in, slots]


def _rate(per_s: float | None, *, signed: bool = False) -> str:
    if per_s is None:
        return "?"
    # Without a sign where it would be one of nothing.
    rounded = round(per_s, 1) or 0.0
    return f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"


def duration(seconds: float) -> str:
    """For people: in the unit that leaves few digits."""
    if seconds < 2 * MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * HOUR_S:
        return f"{seconds / MINUTE_S:.0f} min"
    if seconds < 2 * DAY_S:
        return f"{seconds / HOUR_S:.0f} h"
    return f"{seconds / DAY_S:.0f} days"
