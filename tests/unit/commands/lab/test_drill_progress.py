"""What drills say while they run."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from proj.commands.lab.drill_progress import DrillProgress
from proj.lab.drills.faults.catalogue import FAULTS

FIRST, SECOND, THIRD = FAULTS[:3]


def result(name: str, queue_type: str) -> Any:
    return SimpleNamespace(fault=name, queue_type=queue_type, did="killed it [once]", complaints=(), seconds=9.6)


def test_drills_say_what_they_do_how_far_they_are_and_what_is_left() -> None:
    """A line when each begins and ends, where there is no terminal. The rest takes as long as the others took."""
    output = io.StringIO()
    progress = DrillProgress({"quorum": [FIRST, SECOND, THIRD], "classic": [FIRST]}, console=Console(file=output))

    with progress:
        progress.begin(FIRST, "quorum")
        progress.begin(FIRST, "classic")
        progress.end(result(FIRST.name, "quorum"))
        progress.begin(SECOND, "quorum")
        progress.skip(FIRST, "classic", "It has no timeout.")
        progress.skip(SECOND, "quorum", "It has no timeout.")
        progress.begin(THIRD, "quorum")

    assert output.getvalue().splitlines() == [
        "4 drills, on a private RabbitMQ for each type of queue, about 42 s left …",
        "quorum  worker-killed       begins: 0 of 4 done, about 42 s left",
        "classic worker-killed       begins: 0 of 4 done, about 42 s left",
        "quorum  worker-killed       killed it [once]: as promised (10 s)",
        "quorum  child-killed        begins: 1 of 4 done, about 19 s left",
        "classic worker-killed       skipped: It has no timeout.",
        "quorum  child-killed        skipped: It has no timeout.",
        "quorum  sigterm             begins: 3 of 4 done, about 10 s left",
    ]


def test_drills_have_a_bar_on_a_terminal() -> None:
    """With what each lane does; lines are printed above it."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=100, height=30)

    with DrillProgress({"quorum": [FIRST], "classic": [FIRST]}, console=console) as progress:
        progress.begin(FIRST, "quorum")
        progress.begin(FIRST, "classic")
        progress.end(result(FIRST.name, "classic"))

    shown = output.getvalue()
    assert "quorum worker-killed" in shown
    assert "1/2" in shown
    assert "left" in shown
    assert "as promised" in shown
