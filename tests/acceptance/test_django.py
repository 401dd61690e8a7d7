"""examples/django: results and the schedule in Django's database, a worker is killed, and no task is lost."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proj.lab.processes.waiting import wait_until
from tests.acceptance.project import TIMEOUT_S, Project, interrupt, kill_at_work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proj.lab.processes.guard import Guard
    from tests.acceptance.installed import Installed

EXAMPLE = Path(__file__).parents[2] / "examples" / "django"
LETTERS = 6
#: Long enough that a worker can be killed in the middle of one.
LETTER_S = 2.0
#: The states of the results of a task, as Django's database has them.
STATES = "SELECT status FROM django_celery_results_taskresult WHERE task_name = ?"


@pytest.fixture
def site(tmp_path: Path, installed: Installed, guard: Guard, variables: dict[str, str]) -> Iterator[Project]:
    """A copy of the example, with its tables."""
    folder = tmp_path / "site"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.sqlite*"))
    with closing(Project("mysite", folder, installed=installed, guard=guard, variables=variables)) as site:
        site.python("manage.py", "migrate")
        yield site


def states(site: Project, task: str) -> list[str]:
    with closing(sqlite3.connect(site.folder / "db.sqlite3", timeout=TIMEOUT_S)) as database:
        return [state for (state,) in database.execute(STATES, (task,))]


@pytest.mark.timeout(300)
def test_django_project_loses_no_task_when_a_worker_is_killed(site: Project) -> None:
    """The other worker does what the first one had begun; every result is in Django's database."""
    journal = site.folder / "run.sqlite"
    site.celery("queues", "policy", "--apply")
    doomed, survivor = site.start_worker("w1"), site.start_worker("w2")
    recorder = site.start_recorder(journal)
    clock = site.start("clock", "beat")

    site.python("manage.py", "send_letters", str(LETTERS), f"--seconds={LETTER_S}")
    interrupted = kill_at_work(doomed, "w1@user", "letters.tasks.write", journal)

    wait_until(
        lambda: states(site, "letters.tasks.write") == ["SUCCESS"] * LETTERS, what="the letters", timeout_s=TIMEOUT_S
    )
    wait_until(lambda: "SUCCESS" in states(site, "letters.tasks.collect"), what="the schedule", timeout_s=TIMEOUT_S)
    assert f"letters.tasks.write[{interrupted}] succeeded" in survivor.log_text()
    assert interrupt(clock) == 0
    site.celery("health")
    site.celery("queues", "halt", "--queue", "letters", "--drain")
    assert interrupt(recorder) == 0
    ledger = json.loads(site.celery("journal", "audit", str(journal), "--json"))
    assert ledger["missing"] == 0
    assert ledger["counts"].keys() == {"finished"}
    assert ledger["counts"]["finished"] > LETTERS
