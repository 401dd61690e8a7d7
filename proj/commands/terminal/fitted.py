"""Fitted: a table, or a block for each of its rows where the terminal is too narrow for whole words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

#: Columns of a terminal that no table needs.
_ENDLESS = 10_000


class Fitted:
    """What rich prints of a table; it would break words such as `progressin/g`, or cut them."""

    def __init__(self, table: Table) -> None:
        """Take the table, whose first column names the rows."""
        self._table = table

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or blocks."""
        least = Measurement.get(console, options.update(max_width=_ENDLESS), self._table).minimum
        if least <= options.max_width:
            yield self._table
            return
        _, *headings = [_text(column.header) for column in self._table.columns]
        for title, *cells in zip(*(map(_text, column.cells) for column in self._table.columns), strict=True):
            yield title
            block = Table.grid(padding=(0, 2))
            block.add_column(min_width=max(len(" ".join(heading.plain.split())) for heading in headings) + 2)
            block.add_column(overflow="fold")
            for heading, cell in zip(headings, cells, strict=True):
                block.add_row(Text(f"  {' '.join(heading.plain.split())}"), cell)
            yield block


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text.from_markup(str(cell))
