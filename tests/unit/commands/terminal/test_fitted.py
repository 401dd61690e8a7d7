"""Tables on narrow terminals."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from proj.commands.terminal.fitted import Fitted


def printed(width: int) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("worker", "healthy", "alive", "consuming", "\nprogressing"):
        table.add_column(heading, overflow="fold")
    for name in ("w1@a-host-with-a-long-name", "w2@x"):
        table.add_row(Text(name), "[b]yes[/b]", "yes: answers", Text("no: it [has] no consumer for task_queue"), "?")
    output = io.StringIO()
    Console(file=output, width=width).print(Fitted(table))
    return output.getvalue()


@pytest.mark.parametrize("width", [100, 200])
def test_table_that_fits_is_a_table(width: int) -> None:
    """One line for the headings."""
    assert printed(width).splitlines()[2].split() == ["worker", "healthy", "alive", "consuming", "progressing"]


@pytest.mark.parametrize("width", [30, 40, 60])
def test_table_that_does_not_fit_is_a_block_for_each_row(width: int) -> None:
    """No word is broken or cut, and no line is longer than the terminal."""
    lines = printed(width).splitlines()

    assert max(map(len, lines)) <= width
    assert lines[0].strip() == "w1@a-host-with-a-long-name"
    for heading in ("healthy", "alive", "consuming", "progressing"):
        assert sum(line.startswith(f"  {heading} ") for line in lines) == 2
    words = " ".join(lines).split()
    assert words.count("task_queue") == 2
    assert not any("…" in word for word in words)
