"""The layout of the table of queues: headings, folded names and columns that fit a terminal of any width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table

from proj.commands.terminal.console import cell

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from rich.padding import PaddingDimensions

#: Shorter headings, for a table that would be too wide.
SHORT_HEADINGS = {
    "unacknowledged": "unac-\nknowledged",
    "unacked": "un-\nacked",
    "consumers": "con-\nsumers",
    "growth/s": "growth\n/s",
    "empty in": "empty\nin",
}
#: Columns that are left out, in this order, where the names have too little room with short headings too.
DISPENSABLE = ("slots\nneeded", "consumers", "in/s", "out/s", "type")
#: Characters that names must have room for before a column is left out, unless all names are shorter.
ROOM_FOR_NAMES = 20
#: Characters left and right of the table.
EDGES = 2
#: Characters between two cells: the table's own one, with padding on one side, or on both.
NARROW_GAP, GAP, WIDE_GAP = 1, 2, 3
_PADDING: dict[int, PaddingDimensions] = {NARROW_GAP: 0, GAP: (0, 1, 0, 0), WIDE_GAP: (0, 1)}

#: The cells of a row by their headings, the name of the queue first.
Row = dict[str, str]


def fit_table(rows: Sequence[Row], *, left: Collection[str], width: int, gap: int) -> Table:
    """The rows as a table that is not wider than `width`: if needed with short headings, folded names, fewer columns.

    Cells under the headings in `left` are aligned left. All others are figures, which are never folded.
    """
    first, *others = rows[0]
    headings = {heading: heading for heading in others}
    wanted = max(cell_len(row[first]) for row in rows)
    if room_for_names(rows, headings, width=width, gap=gap) < wanted:
        headings = {heading: SHORT_HEADINGS.get(heading, heading) for heading in others}
        gap = NARROW_GAP
        least = min(ROOM_FOR_NAMES, wanted)
        for heading in DISPENSABLE:
            if room_for_names(rows, headings, width=width, gap=gap) >= least:
                break
            headings.pop(heading, None)
    name_width = room_for_names(rows, headings, width=width, gap=gap)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=_PADDING[gap])
    table.add_column(first, overflow="fold")
    for heading, shown in headings.items():
        table.add_column(shown, justify="left" if heading in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(
            cell(*fold_name(row[first], name_width).split("\n")), *(cell(row[heading]) for heading in headings)
        )
    return table


def room_for_names(rows: Sequence[Row], headings: Mapping[str, str], *, width: int, gap: int) -> int:
    """The characters that are left for names beside the columns with these headings."""
    widths = [
        max(*(cell_len(line) for line in shown.split("\n")), *(cell_len(row[heading]) for row in rows))
        for heading, shown in headings.items()
    ]
    return width - EDGES - sum(widths) - gap * len(widths)


def fold_name(name: str, width: int) -> str:
    """The name in lines of at most `width`, all but the last of which end with a dot or an underscore.

    A part without either that is longer than `width` stays one line, and rich folds it.
    """
    lines = [""]
    for part in re.findall(r"[^._]*[._]|[^._]+", name):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
