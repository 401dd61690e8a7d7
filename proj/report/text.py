"""Text form of a report, for terminals: aligned tables and timelines of characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proj.printable import printable
from proj.report.chart import chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Columns: a wider table is split into parts, one below the other.
MAX_WIDTH = 120


def as_text(document: Mapping[str, Any]) -> str:
    """The document as text: figures, timelines, further tables and notes; it ends with a line break."""
    tables, runs = document["tables"], document["runs"]
    parts = [printable(document["title"])]
    parts += ["\n".join(_aligned(part)) for part in _parts(tables["figures"])]
    parts.append("\n".join(["Timeline", "", *chart(runs)]))
    parts += _titled(tables["waits"])
    for run in runs:
        for part in _parts(run["workers"]):
            parts += _titled(part, of=run["name"])
    for run in runs:
        parts += _titled(run["depth"], of=run["name"])
    parts += _titled(tables["offenders"])
    for part in _parts(tables["facts"]):
        parts += _titled(part)
    if document["notes"]:
        parts.append("\n".join(["Notes", "", *(f"- {printable(note)}" for note in document["notes"])]))
    return "\n\n".join(parts) + "\n"


def _titled(table: Mapping[str, Any], of: str | None = None) -> Iterator[str]:
    if table["rows"]:
        caption = f"{table['caption']}: {of}" if of else table["caption"]
        yield "\n".join([printable(caption), "", *_aligned(table)])


def _parts(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The parts of a table that fit into `MAX_WIDTH`; each part begins with the first column."""
    lines = _lines(table)
    widths = [max(len(line[column]) for line in lines) + 2 for column in range(len(table["head"]))]
    parts = [[0]]
    for column in range(1, len(widths)):
        if len(parts[-1]) > 1 and sum(widths[other] for other in parts[-1]) + widths[column] > MAX_WIDTH:
            parts.append([0])
        parts[-1].append(column)
    for columns in parts:
        picked = [[line[column] for column in columns] for line in lines]
        yield {**table, "head": picked[0], "rows": picked[1:]}


def _lines(table: Mapping[str, Any]) -> list[list[str]]:
    return [[printable(cell) for cell in line] for line in (table["head"], *table["rows"])]


def _aligned(table: Mapping[str, Any]) -> Iterator[str]:
    lines = _lines(table)
    widths = [max(len(line[column]) for line in lines) for column in range(len(table["head"]))]
    for number, line in enumerate(lines):
        cells = [
            cell.ljust(width) if column < table["words"] else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()
        if number == 0:
            yield "─" * (sum(widths) + 2 * len(widths) - 2)
