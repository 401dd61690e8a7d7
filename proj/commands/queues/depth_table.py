"""The depths of queues, as a table or as JSON, once or repeatedly."""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.live import Live

from proj.broker.queue_rates import Counts, RateMeter, Rates
from proj.commands.queues.depth_layout import GAP, WIDE_GAP, fit_table
from proj.commands.queues.event_queues import note, noting
from proj.commands.terminal.browser import opened
from proj.commands.terminal.clock import format_duration
from proj.commands.terminal.console import cell, console, echo, echo_json
from proj.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from proj.broker.queue_depths import Depth, Progress, QueueDepths
    from proj.commands.queues.depth_layout import Row

    #: A queue as it is now, and how it changes; None when it was looked at once.
    Line = tuple[Depth, Rates | None]

#: The columns without --watch.
COUNTS = ("name", "type", "ready", "unacknowledged", "consumers", "paused")
#: The file descriptor, which a child process inherits.
STDERR = 2


def show_depths(
    queue_depths: QueueDepths, *, interval_s: float | None, show_all: bool, as_json: bool, held_s: float | None = None
) -> None:
    """Print the depths of the queues: once, or every `interval_s` seconds until Ctrl-C, with rates.

    Args:
        queue_depths: reads the queues.
        interval_s: seconds between two looks; None for one look.
        show_all: show also the empty queues that Celery makes for itself.
        as_json: print JSON, one line a look.
        held_s: seconds for which the app's workers hold a message without a slot; None when that is not known.

    Raises:
        NoBroker: no broker answers.
    """
    out = console()
    left: list[Depth] = []
    looks = noting(left, _looks(queue_depths, interval_s=interval_s, held_s=held_s))
    views = (View(look, show_all=show_all, is_whole=queue_depths.doubt is None) for look in looks)
    try:
        if as_json:
            for view in views:
                echo_json([_json(depth, rates) for depth, rates in view.rows])
        elif interval_s is None or not out.is_terminal:
            _print(out, views)
        else:
            with Live(console=out, auto_refresh=False) as live:
                for view in views:
                    live.update(view.render(out.width), refresh=True)
    except KeyboardInterrupt:
        if interval_s is None:
            raise
    for depth in left:
        echo(note(depth, now=time.time()), err=True)
    for sentence in filter(None, (queue_depths.doubt, queue_depths.without_majority)):
        echo(sentence, err=True)


def open_management(queue_depths: QueueDepths) -> None:
    """Print the address of the management page, and open it in the user's browser where there is one.

    Raises:
        NoManagement: the management API does not answer.
    """
    page = queue_depths.management.page
    queue_depths.management.request("GET", "overview")
    echo(page)
    with _silenced_stderr():
        opened(page)


class View:
    """What is printed of one look."""

    def __init__(self, look: Sequence[Line], *, show_all: bool, is_whole: bool = True) -> None:
        """Take one look.

        Args:
            look: a line for each queue.
            show_all: keep also the empty queues that Celery makes for itself.
            is_whole: the look is at all queues of the broker, not at the app's own alone.
        """
        self.rows = [(depth, rates) for depth, rates in look if show_all or not depth.is_plumbing]
        #: The sentence that is printed when there is no queue to show; None when there is one.
        self.nothing: str | None = None
        if not self.rows:
            others = " but those that Celery made for itself; --all shows them" if look else ""
            self.nothing = f"There are no queues{others}."
            if not is_whole:
                self.nothing = "None of the app's own queues exists."

    def render(self, width: int) -> Table | Text:
        """The table, or the sentence, for a terminal of this width."""
        return cell(self.nothing) if self.nothing else table(self.rows, width=width)


def table(rows: Sequence[Line], *, width: int) -> Table:
    """A table of that width of one look with at least one line; with rates where they are known."""
    watched = any(rates is not None for _depth, rates in rows)
    cells = [_watched_row(depth, rates or Rates()) if watched else _row(depth) for depth, rates in rows]
    return fit_table(cells, left={"type"}, width=width, gap=GAP if watched else WIDE_GAP)


def _print(out: Console, views: Iterable[View]) -> None:
    """Print each view; the sentence that there is no queue only once in a row."""
    printed = None
    for view in views:
        if view.nothing is None or view.nothing != printed:
            out.print(view.render(out.width))
        printed = view.nothing


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Drop what child processes write to stderr: without a browser, `xdg-open` reports each one that it tried."""
    try:
        saved = os.dup(STDERR)
    except OSError:  # it is closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, STDERR)
        yield
    finally:
        os.dup2(saved, STDERR)
        os.close(saved)
        os.close(nowhere)


def _looks(queue_depths: QueueDepths, *, interval_s: float | None, held_s: float | None) -> Iterator[list[Line]]:
    meters: defaultdict[str, RateMeter] = defaultdict(RateMeter)
    while True:
        depths = queue_depths.read()
        rates: dict[str, Rates] = {}
        if interval_s is not None:
            progress = queue_depths.read_progress() if queue_depths.doubt is None else {}
            now_s = time.monotonic()
            for depth in depths:
                counts = _counts(depth, progress.get(depth.name), now_s=now_s, held_s=held_s)
                rates[depth.name] = meters[depth.name].add(counts)
        yield [(depth, rates.get(depth.name)) for depth in depths]
        if interval_s is None:
            return
        time.sleep(interval_s)


def _counts(depth: Depth, progress: Progress | None, *, now_s: float, held_s: float | None) -> Counts:
    return Counts(
        at_s=now_s,
        ready=depth.ready,
        unacknowledged=depth.unacknowledged,
        finished=None if progress is None else progress.finished,
        held_s=held_s if progress is not None and progress.windowed else None,
    )


def _json(depth: Depth, rates: Rates | None) -> dict[str, object]:
    counts = {name: getattr(depth, name) for name in COUNTS}
    if rates is None:
        return counts
    figures = {name: None if value is None else round(value, 3) for name, value in asdict(rates).items()}
    return {**counts, "limit": depth.limit, **figures}


def _row(depth: Depth) -> Row:
    return {
        "name": _name(depth),
        "type": depth.type or "?",
        "ready": _ready(depth),
        "unacknowledged": _known(depth.unacknowledged),
        "consumers": str(depth.consumers),
    }


def _watched_row(depth: Depth, rates: Rates) -> Row:
    """With rates. The type is left out to make room for them."""
    if rates.empty_in_s is not None:
        empty_in = format_duration(rates.empty_in_s)
    else:
        empty_in = "?" if rates.growth_per_s is None else "never"
    return {
        "name": _name(depth),
        "ready": _ready(depth),
        "unacked": _known(depth.unacknowledged),
        "consumers": str(depth.consumers),
        "in/s": _rate(rates.in_per_s),
        "out/s": _rate(rates.out_per_s),
        "growth/s": _rate(rates.growth_per_s, signed=True),
        "empty in": empty_in,
        "slots\nneeded": _known(None if rates.slots is None else math.ceil(round(rates.slots, 1))),
    }


def _name(depth: Depth) -> str:
    return printable(depth.name) + (" (paused)" if depth.paused else "")


def _ready(depth: Depth) -> str:
    return str(depth.ready) if depth.limit is None else f"{depth.ready} / {depth.limit}"


def _known(count: int | None) -> str:
    return "?" if count is None else str(count)


def _rate(per_s: float | None, *, signed: bool = False) -> str:
    if per_s is None:
        return "?"
    # No sign before a zero.
    rounded = round(per_s, 1) or 0.0
    return f"{rounded:+.1f}" if signed and rounded else f"{rounded:.1f}"
