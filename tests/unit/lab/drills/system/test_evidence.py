"""Evidence: lines on disk, also of a writer that was killed."""

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
    """All fields are the same; a detail of several lines becomes one line."""
    evidence = Evidence(tmp_path / "evidence")
    append(evidence.path, STARTED, "a")
    append(evidence.path, RAISED, "b", "OSError:\nno way   out")

    first, second = evidence.read()

    assert (first.kind, first.task_id, first.pid, first.detail) == (STARTED, "a", os.getpid(), "")
    assert (second.kind, second.task_id, second.detail) == (RAISED, "b", "OSError: no way out")


def test_evidence_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    """A drill may read before the first line is written."""
    assert Evidence(tmp_path / "evidence").read() == []


def test_evidence_goes_on_where_a_line_was_cut_short(tmp_path: Path) -> None:
    """An incomplete line is awaited, or skipped when its writer was killed; the other lines count."""
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
    """After two starts without an end, the second one counts."""
    records = [line(STARTED, "a", 1), line(STARTED, "b", 2), line(FINISHED, "a", 3), line(STARTED, "b", 4)]

    assert {task_id: record.time for task_id, record in running(records).items()} == {"b": 4}


def test_peak_counts_only_tasks_that_run_at_the_same_time() -> None:
    """The number of working slots is the number of tasks that run at once."""
    records = [
        *(line(STARTED, task_id, 1) for task_id in "abx"),
        line(FINISHED, "a", 2),
        line(STARTED, "c", 3),
        *(line(CONFIRMED, task_id, 3) for task_id in "abc"),
    ]

    assert peak(records, frozenset("abc")) == 2


def test_proxy_lets_bytes_pass_up_to_the_limit() -> None:
    """Without a limit everything passes; after the limit nothing does."""
    assert allowed(100, passed_bytes=0, limit_bytes=None) == 100
    assert allowed(100, passed_bytes=0, limit_bytes=8) == 8
    assert allowed(100, passed_bytes=450, limit_bytes=500) == 50
    assert allowed(100, passed_bytes=500, limit_bytes=500) == 0
