"""Dead letters as a table."""

from __future__ import annotations

import pytest
from rich.console import Console

from proj.commands.queues import dead_letter_table
from proj.delivery.dead_letters.letter import DeadLetter

ID = "8ec378b2-f59b-4833-bcfc-81e707321a1e"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_id_stays_in_one_line(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """It is copied into `--show ID`."""
    out = Console(width=width, record=True)
    monkeypatch.setattr(dead_letter_table, "console", lambda: out)
    letter = DeadLetter(
        id=ID,
        task="anyapp.tasks.broken",
        arguments="('hello...',)",
        reason="It failed: ValueError: no.",
        queue="a.rather.long.queue.name",
        worker="celery-19894@host",
        time=1795251491.5,
        attempts=1,
        size_bytes=100,
    )

    dead_letter_table.print_table([letter])

    lines = out.export_text().splitlines()
    assert max(map(len, lines)) <= width
    assert any(line.split()[:1] == [ID] for line in lines)
