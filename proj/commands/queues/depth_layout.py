"""How the table of queues is laid out: headings, folds and columns that fit a terminal of any width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

#: Headings that are shorter where the whole table would be too wide.
NARROW = {
    "unacknowledged": "unac-\nknowledged",
    "unacked": "un-\nacked",
    "consumers": "con-\nsumers",
    "growth/s": "growth\n/s",
    "empty in": "empty\nin",
}
#: Columns that are left away, this one first, where the names would have no room even so.
DISPENSABLE = ("slots\nneeded", "consumers", "in/s", "out/s", "type")
#: What a name must have room for before a column is left away for it, unless it is shorter.
ROOM_FOR_NAME = 20
#: Columns left and right of the table.
EDGES = 2
#: Columns between two cells: the table's own, with padding on one side, or on both.
NARROW_GAP, GAP, WIDE_GAP = 1, 2, 3

#: The columns' cells by their headings, the names first.
Row = dict[str, str]


def fitted(rows: Sequence[Row], *, left: Collection[str], width: int, gap: int) -> Table:
    """The rows as a table that is no wider than `width`: with shorter headings, folded names and fewer columns.

    Cells under the headings in `left` begin at the left; all others are figures, which are never folded.
    """
    first, *others = rows[0]
    headings = {heading: heading for heading in others}
    wanted = max(cell_len(row[first]) for row in rows)
    if room(rows, headings, width=width, gap=gap) < wanted:
        headings = {heading: NARROW.get(heading, heading) for heading in others}
        gap = NARROW_GAP
        least = min(ROOM_FOR_NAME, wanted)
        for heading in DISPENSABLE:
            if room(rows, headings, width=width, gap=gap) >= least:
                break
            headings.pop(heading, None)
    for_name = room(rows, headings, width=width, gap=gap)
    padding = {NARROW_GAP: 0, GAP: (0, 1, 0, 0), WIDE_GAP: (0, 1)}[gap]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=padding)  # type: ignore[arg-type] # a union of tuples
    table.add_column(first, overflow="fold")
    for heading, shown in headings.items():
        table.add_column(shown, justify="left" if heading in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(Text(folded(row[first], for_name)), *(Text(row[heading]) for heading in headings))
    return table


def room(rows: Sequence[Row], headings: Mapping[str, str], *, width: int, gap: int) -> int:
    """What is left for the names beside the columns with these headings."""
    widths = [
        max(*(cell_len(line) for line in shown.split("\n")), *(cell_len(row[heading]) for row in rows))
        for heading, shown in headings.items()
    ]
    return width - EDGES - sum(widths) - gap * len(widths)


def folded(name: str, width: int) -> str:
    """The name in lines of at most `width`, each but the last with a dot or an underscore at its end.

    What has none for longer than that stays one line, which is for the terminal to fold.
    """
    lines = [""]
    for part in re.findall(r"[^._]*[._]|[^._]+", name):
        if lines[-1] and cell_len(lines[-1] + part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
