"""`celery -A anyapp journal compare`."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.journal.records import Run, Worker
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .conftest import Celery


def write(path: Path, dispatch: str, task_seconds: Sequence[float], *, ended: bool = True) -> None:
    """A run of two tasks one after the other for each of `task_seconds`."""
    with JournalWriter(path) as writer:
        for number, seconds in enumerate(task_seconds, start=1):
            name = f"{dispatch}-{number}"
            settings = {"workload": "odd-heavy", "workers": 1, "seed": 7, "repeat": number}
            writer.add_run(Run(name=name, dispatch=dispatch, began=100.0 * number, settings=settings))
            writer.put_workers([Worker(name=f"w@{name}", slots=1, queues=(f"q.{name}",), dispatch=dispatch)])
            writer.put_attempts(
                Attempt(
                    task_id=f"{name}-{task}",
                    state="succeeded",
                    queue=f"q.{name}",
                    worker=f"w@{name}",
                    sent=0.0,
                    received=0.0,
                    started=task * seconds,
                    finished=(task + 1) * seconds,
                    runtime_s=seconds,
                    run=name,
                )
                for task in range(2)
            )
            if ended:
                writer.end_run(name, 100.0 * number + 50)
        writer.commit()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Five runs of each mode, those of one mode twice as long."""
    path = tmp_path / "run.sqlite"
    write(path, "round-robin", [2.0, 2.01, 2.02, 2.03, 2.04])
    write(path, "fair", [1.0, 1.01, 1.02, 1.03, 1.04])
    return path


def test_compare_tells_which_differences_are_significant(celery: Celery, journal: Path) -> None:
    """A table and a sentence for each figure on stdout, without a broker and without our app."""
    done = celery("journal", "compare", str(journal))

    assert done.returncode == 0, done.stderr
    assert "makespan, s" in done.stdout
    assert "4.040 [4.000, 4.080]" in done.stdout
    assert "round-robin against fair: makespan is significantly higher, 2.04 → 4.04 s (p = 0.04)." in done.stdout
    assert "makespan / ideal, 1 → 1, may differ by chance (p = 1)." in done.stdout


@pytest.mark.parametrize(("repeats", "is_known"), [(5, False), (6, True)])
def test_three_modes_are_compared_in_pairs_from_six_runs_of_each(
    celery: Celery, tmp_path: Path, *, repeats: int, is_known: bool
) -> None:
    """Three pairs have three times as many tests as one, so five runs of each can tell nothing."""
    path = tmp_path / "run.sqlite"
    for mode, seconds in (("round-robin", 2.0), ("fair", 1.0), ("adaptive", 1.001)):
        write(path, mode, [seconds + number / 100 for number in range(repeats)])

    done = celery("journal", "compare", str(path))

    assert done.returncode == 0, done.stderr
    for pair in ("fair against adaptive", "round-robin against adaptive", "round-robin against fair"):
        assert f"{pair}: " in done.stdout
    assert ("at least 6 runs of each are needed" in done.stdout) == (not is_known)
    assert ("round-robin against adaptive: makespan is significantly higher" in done.stdout) == is_known
    assert ("fair against adaptive: makespan, 2.05 → 2.05 s, may differ by chance" in done.stdout) == is_known


def test_compare_prints_the_same_as_json(celery: Celery, journal: Path) -> None:
    """JSON has every number of the table, not rounded."""
    done = celery("journal", "compare", "--json", str(journal))

    (comparison,) = json.loads(done.stdout)
    assert comparison["condition"] == "workload odd-heavy, workers 1"
    assert comparison["groups"]["fair"]["makespan_s"]["median"] == pytest.approx(2.04)
    real = {one["figure"] for one in comparison["differences"] if one["real"]}
    assert real == {"makespan_s", "wait_p95_s"}


def test_mode_in_two_files_is_two_groups(celery: Celery, journal: Path, tmp_path: Path) -> None:
    """Two files may be from before and after a change; two runs are too few to tell."""
    other = tmp_path / "after.sqlite"
    write(other, "fair", [0.5, 0.51])

    done = celery("journal", "compare", "--json", str(journal), str(other))

    (comparison,) = json.loads(done.stdout)
    assert set(comparison["groups"]) == {f"fair ({journal})", "round-robin", f"fair ({other})"}
    assert any("too few runs" in verdict for verdict in comparison["verdicts"])


def test_compare_leaves_out_runs_that_have_not_ended(celery: Celery, tmp_path: Path) -> None:
    """It names them on stderr; if no run is left, it fails."""
    path = tmp_path / "run.sqlite"
    write(path, "fair", [1.0], ended=False)

    done = celery("journal", "compare", str(path))

    assert done.returncode == 1
    assert "fair-1" in done.stderr
    assert re.search(r"No run in .* has ended", done.stderr)


def test_compare_of_a_missing_file_is_an_error_without_a_traceback(celery: Celery, tmp_path: Path) -> None:
    """The error names the path, and no file is made there."""
    done = celery("journal", "compare", str(tmp_path / "none.sqlite"))

    assert done.returncode == 2
    assert "none.sqlite" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none.sqlite").exists()
