"""Markdown form of a report, for pull requests: tables, and the timelines as code blocks."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from proj.printable import printable
from proj.report.chart import chart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def as_markdown(document: Mapping[str, Any]) -> str:
    """The document in GitHub's Markdown; the tables of workers, longest waits and settings are folded."""
    tables, runs = document["tables"], document["runs"]
    parts = [f"### {_plain(document['title'])}", _table(tables["figures"])]
    parts.append("\n".join(["```text", *(line.replace("```", "'''") for line in chart(runs)), "```"]))
    parts.append(_table(tables["waits"]))
    parts += [f"- {_plain(note)}" for note in document["notes"]]
    for run in runs:
        parts += _folded(run["workers"], of=run["name"])
    parts += _folded(tables["offenders"])
    parts += _folded(tables["facts"])
    return "\n\n".join(parts) + "\n"


def _folded(table: Mapping[str, Any], of: str | None = None) -> Iterator[str]:
    if table["rows"]:
        caption = f"{table['caption']}: {of}" if of else table["caption"]
        yield f"<details><summary>{_plain(caption)}</summary>\n\n{_table(table)}\n\n</details>"


def _table(table: Mapping[str, Any]) -> str:
    words = table["words"]
    rule = ["---" if column < words else "---:" for column in range(len(table["head"]))]
    lines = [table["head"], rule, *table["rows"]]
    return "\n".join(
        "| " + " | ".join(cell if line is rule else _plain(cell) for cell in line) + " |" for line in lines
    )


def _plain(text: str) -> str:
    """The text with all characters escaped that have a meaning in Markdown or HTML."""
    return re.sub(r"([\\`*_\[\]<>|&#~])", r"\\\1", printable(re.sub(r"\s+", " ", text)))
