"""The depths of queues as a table that people read or JSON for programs, once or again and again."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from proj.errors import ProjError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.depth import Depth, Gauge


def show_depths(gauge: Gauge, *, interval_s: float | None, show_all: bool, as_json: bool) -> None:
    """Print what the gauge reads: once, or every `interval_s` seconds until Ctrl-C.

    Raises:
        NoBroker: no broker answers.
    """
    console = Console()
    looks = _looks(gauge, interval_s=interval_s, show_all=show_all)
    try:
        if as_json:
            for depths in looks:
                click.echo(json.dumps([asdict(depth) for depth in depths]))
        elif interval_s is None or not console.is_terminal:
            for depths in looks:
                console.print(_table(depths))
        else:
            with Live(console=console, auto_refresh=False) as live:
                for depths in looks:
                    live.update(_table(depths), refresh=True)
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


def _looks(gauge: Gauge, *, interval_s: float | None, show_all: bool) -> Iterator[list[Depth]]:
    while True:
        yield [depth for depth in gauge.read() if show_all or not depth.is_plumbing]
        if interval_s is None:
            return
        time.sleep(interval_s)


def _table(depths: list[Depth]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name")
    table.add_column("type")
    for heading in ("ready", "unacknowledged", "consumers"):
        table.add_column(heading, justify="right")
    for depth in depths:
        unacknowledged = "?" if depth.unacknowledged is None else str(depth.unacknowledged)
        table.add_row(depth.name, depth.type or "?", str(depth.ready), unacknowledged, str(depth.consumers))
    return table
