"""`celery journal repair`, and what the other commands say of a damaged journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.ports import free_port
from tests.acceptance.test_journal_compare import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Celery

PAGE = 4096


def cut_off(path: Path) -> None:
    """As a copy that was interrupted."""
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 2 * PAGE - 100)


def overwritten(path: Path) -> None:
    """As by a disk that failed: the second half of the file, without its first page."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(bytes(path.stat().st_size // 2))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def replaced(path: Path) -> None:
    path.write_text("my notes" * 1000)


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = (cut_off, overwritten, emptied, replaced, made_a_folder)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Two modes with two hundred tasks each."""
    path = tmp_path / "run.sqlite"
    write(path, "round-robin", [2.0] * 100)
    write(path, "fair", [1.0] * 100)
    return path


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    "words",
    [
        ("journal", "report"),
        ("journal", "compare"),
        ("journal", "audit", "--offline"),
        ("-A", "proj", "dashboard", "--open_journal="),
    ],
    ids=lambda words: words[-1],
)
def test_damaged_journal_is_refused_in_one_sentence_with_exit_code_2(
    celery: Celery, journal: Path, damage: Callable[[Path], None], words: tuple[str, ...]
) -> None:
    """Exit code 1 of an audit says that a task is missing."""
    damage(journal)
    *first, last = words
    more = (f"{last}{journal}", f"--port={free_port()}") if last.endswith("=") else (last, "run.sqlite")

    done = celery(*first, *more)

    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "run.sqlite" in done.stderr


def test_dashboard_refuses_to_write_into_a_damaged_journal(celery: Celery, journal: Path) -> None:
    """It names the command that saves what can be read."""
    overwritten(journal)

    done = celery("-A", "proj", "dashboard", f"--journal={journal}", f"--port={free_port()}")

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"celery journal repair {journal} -o NEW" in done.stderr


@pytest.mark.parametrize("damage", DAMAGES[:2])
def test_repaired_journal_can_be_read_by_every_command(
    celery: Celery, journal: Path, damage: Callable[[Path], None]
) -> None:
    """Its gap tells that something is missing; the damaged file stays."""
    damage(journal)
    before = journal.read_bytes()

    repaired = celery("journal", "repair", "run.sqlite", "-o", "new.sqlite")

    assert repaired.returncode == 0, repaired.stderr
    assert "Saved into new.sqlite: " in repaired.stderr
    assert journal.read_bytes() == before
    audited = celery("journal", "audit", "--offline", "new.sqlite")
    assert audited.returncode == 0, audited.stderr
    assert "The journal was damaged." in audited.stderr
    reported = celery("journal", "report", "new.sqlite")
    assert reported.returncode == 0, reported.stderr
    assert "The journal was damaged." in reported.stdout


def test_repair_of_a_file_without_a_row_makes_no_file(celery: Celery, journal: Path) -> None:
    """One sentence says that there is nothing to save."""
    replaced(journal)

    done = celery("journal", "repair", "run.sqlite", "-o", "new.sqlite")

    assert done.returncode == 2
    assert "nothing to save" in done.stderr
    assert not (journal.parent / "new.sqlite").exists()
