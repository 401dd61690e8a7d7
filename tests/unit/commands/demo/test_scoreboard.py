"""The tables of `celery -A proj demo` in a terminal of 80 columns and 24 lines."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from proj.commands.demo.scoreboard import results_table, scoreboard
from proj.commands.terminal.options import DISPATCH_MODES
from proj.journal.attempt import Attempt
from proj.lab.runs.mode_race import Outcome, RacePlan
from proj.lab.runs.workload import odd_heavy

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH, HEIGHT = 80, 24
PLAN = RacePlan(messages=odd_heavy(20))


def shown(table: RenderableType, *, width: int = WIDTH) -> list[str]:
    console = Console(width=width, height=HEIGHT)
    with console.capture() as captured:
        console.print(table)
    return captured.get().splitlines()


def outcome(mode: str) -> Outcome:
    return Outcome(
        mode=mode,
        sent=20,
        done=7,
        tasks={f"{mode}-1@demo": 10, f"{mode}-2@demo": 10},
        busy_s={f"{mode}-1@demo": 20.0, f"{mode}-2@demo": 1.0},
        makespan_s=20.04,
        ideal_s=10.51,
        longest_light_wait_s=10.38,
        longest_wait_s=17.96,
    )


@pytest.fixture
def race() -> Any:
    """In each mode the first worker runs the heaviest message, and the second one is idle."""
    heavy = max(PLAN.messages, key=len)
    return SimpleNamespace(
        plan=PLAN,
        nodes=lambda mode: list(outcome(mode).tasks),
        attempts=lambda mode: [
            Attempt(task_id=mode, state="started", worker=f"{mode}-1@demo", sent=0.0, started=time.time() - 60)
        ],
        outcome=outcome,
        message=lambda _: heavy,
    )


def test_modes_of_the_demo_are_those_of_our_app() -> None:
    """RabbitMQ's default is first."""
    assert tuple(PLAN.modes) == DISPATCH_MODES


def test_three_modes_fit_into_a_terminal_while_they_run(race: Any) -> None:
    """Each has a line for all its workers, and nothing is cut."""
    lines = shown(scoreboard(race, width=WIDTH))

    assert len(lines) < HEIGHT
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)
    for mode in DISPATCH_MODES:
        (first, second, every) = (line.split() for line in lines if line.startswith(mode))
        assert (first[0], first[1], first[-4:]) == (f"{mode}-1", "heavy", ["0", "10", "20.0", "s"])
        assert second == [f"{mode}-2", "idle", "0", "10", "1.0", "s"]
        assert every[-4:] == ["0", "7/20", "21.0", "s"]


def test_table_fits_into_a_narrow_terminal_while_they_run(race: Any) -> None:
    """The messages have less room; headings and figures keep theirs."""
    lines = shown(scoreboard(race, width=60), width=60)

    assert max(map(len, lines)) <= 60
    assert [line.split() for line in lines if line.startswith("worker")] == [
        ["worker", "works", "on", "holds", "done", "busy"]
    ]


def test_figures_of_three_modes_fit_into_a_terminal() -> None:
    """A line for each mode, and nothing is cut."""
    lines = shown(results_table(PLAN, [outcome(mode) for mode in DISPATCH_MODES]))

    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)
    figures = [line.split() for line in lines if line.startswith(DISPATCH_MODES)]
    assert [line[0] for line in figures] == list(DISPATCH_MODES)
    assert all(line[1:4] == ["10/10", "20.0/1.0", "20.04"] for line in figures)
