"""Evidence: lines that survive whoever writes them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from proj.lab.drills.system.evidence import (
    CONFIRMED,
    FINISHED,
    RAISED,
    STARTED,
    Evidence,
    Record,
    append,
    parse,
    peak,
    running,
)
from proj.lab.processes.proxy import allowed

if TYPE_CHECKING:
    from pathlib import Path


def line(kind: str, task_id: str, time: float) -> Record:
    return Record(kind=kind, task_id=task_id, pid=1, time=time)


def test_evidence_is_read_as_it_was_appended(tmp_path: Path) -> None:
    """What, which task, by whom, and why; a reason of several lines stays one line."""
    evidence = Evidence(tmp_path / "evidence")
    append(evidence.path, STARTED, "a")
    append(evidence.path, RAISED, "b", "OSError:\nno way   out")

    first, second = evidence.read()

    assert (first.kind, first.task_id, first.pid, first.detail) == (STARTED, "a", os.getpid(), "")
    assert (second.kind, second.task_id, second.detail) == (RAISED, "b", "OSError: no way out")


def test_evidence_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    """A drill looks before anybody wrote."""
    assert Evidence(tmp_path / "evidence").read() == []


def test_evidence_goes_on_where_a_line_was_cut_short(tmp_path: Path) -> None:
    """Half a line is waited for, or passed over when its writer was killed; the others count."""
    evidence = Evidence(tmp_path / "evidence")
    append(evidence.path, STARTED, "a")
    with evidence.path.open("a") as file:
        file.write("finis")
    assert [record.task_id for record in evidence.read()] == ["a"]

    with evidence.path.open("a") as file:
        file.write("hed a 1 2.5\nstarted b 1 not-a-time\n")
    append(evidence.path, STARTED, "c")

    assert [(record.kind, record.task_id) for record in evidence.read()] == [
        (STARTED, "a"),
        (FINISHED, "a"),
        (STARTED, "c"),
    ]


@given(st.lists(st.text()))
def test_any_text_is_parsed_without_an_error(lines: list[str]) -> None:
    """A file may hold anything when its writers are killed."""
    assert len(parse(lines)) <= len(lines)


def test_task_runs_from_its_start_to_its_end() -> None:
    """A second start of one that never ended is the one that runs."""
    records = [line(STARTED, "a", 1), line(STARTED, "b", 2), line(FINISHED, "a", 3), line(STARTED, "b", 4)]

    assert {task_id: record.time for task_id, record in running(records).items()} == {"b": 4}


def test_peak_counts_tasks_at_the_same_moment_and_no_others() -> None:
    """Slots that work are seen by what runs in them at once."""
    records = [
        *(line(STARTED, task_id, 1) for task_id in "abx"),
        line(FINISHED, "a", 2),
        line(STARTED, "c", 3),
        *(line(CONFIRMED, task_id, 3) for task_id in "abc"),
    ]

    assert peak(records, frozenset("abc")) == 2


def test_proxy_lets_bytes_pass_up_to_the_limit() -> None:
    """Everything without one; nothing more once it is reached."""
    assert allowed(100, passed_bytes=0, limit_bytes=None) == 100
    assert allowed(100, passed_bytes=0, limit_bytes=8) == 8
    assert allowed(100, passed_bytes=450, limit_bytes=500) == 50
    assert allowed(100, passed_bytes=500, limit_bytes=500) == 0
