"""Workers that cannot start say why in one sentence, in any app that has called `install`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proj.errors import EXIT_NO_BROKER, EXIT_USAGE
from tests.processes.worker import wait_until_ready, worker_process

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

THEIRS = """
from celery import Celery
from proj.delivery.install import install

app = Celery("theirs")
install(app)
"""


@pytest.fixture
def app(tmp_path: Path) -> str:
    """An app of someone else; ours has called `install` in the same way."""
    (tmp_path / "theirs.py").write_text(THEIRS)
    return "theirs"


def run_worker(celery: Celery, app: str, *words: str, **variables: str) -> tuple[int, list[str], str]:
    """A worker's exit code, the lines of its log that are critical, and its whole output."""
    ended = celery("-A", app, "worker", "--concurrency", "1", *words, **variables)
    said = ended.stdout + ended.stderr
    return ended.returncode, [line for line in said.splitlines() if ": CRITICAL/" in line], said


@pytest.mark.parametrize("wrong", ["password", "virtual host"])
def test_worker_whose_login_is_refused_ends_with_one_sentence(
    celery: Celery, broker: Broker, app: str, wrong: str
) -> None:
    """It says which settings to look at."""
    url = broker.url("nosuch") if wrong == "virtual host" else broker.url().replace(broker.password, "wrong")

    code, (sentence,), said = run_worker(celery, app, CELERY_BROKER_URL=url)

    assert code == EXIT_NO_BROKER
    assert "refuses the login" in sentence
    assert "CELERY_BROKER_URL right?" in sentence
    assert "Traceback" not in said


def test_second_worker_of_a_name_ends_with_one_sentence(
    celery: Celery, guard: Guard, variables: dict[str, str], app: str, tmp_path: Path
) -> None:
    """The first one goes on."""
    url = variables["CELERY_BROKER_URL"]
    first = worker_process("w1@host", guard=guard, broker_url=url, app=app, folder=tmp_path, PYTHONPATH=str(tmp_path))
    with first:
        wait_until_ready(first)

        code, (sentence,), said = run_worker(celery, app, "--hostname", "w1@host", **variables)

        assert first.running
    assert code == EXIT_USAGE
    assert "Another worker named w1@host runs on this broker" in sentence
    assert "Traceback" not in said
