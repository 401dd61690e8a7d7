"""Commands that are told the management API of another broker, which has the same name, users and passwords."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proj.errors import EXIT_USAGE
from proj.lab.processes.environment import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from proj.lab.broker import Broker

    from .conftest import Celery

#: Seconds within which a command says that it uses the wrong API.
TIMEOUT_S = 60


@pytest.fixture
def _theirs(tmp_path: Path) -> None:
    """An app that is not ours."""
    (tmp_path / "theirs.py").write_text(
        "from celery import Celery\napp = Celery('theirs')\napp.conf.task_default_queue = 'theirs'\n"
    )


@pytest.mark.usefixtures("_theirs")
@pytest.mark.parametrize(
    "command",
    [
        "queues",
        "queues --open",
        "queues policy",
        "queues policy --apply",
        "queues dead",
        "queues halt --queue theirs",
        "health",
        "journal record -o new.journal",
        "dashboard --port=0",
    ],
)
def test_command_refuses_the_management_api_of_another_broker(
    tmp_path: Path, broker: Broker, vhost: str, other_broker: Broker, command: str
) -> None:
    """It names both, writes nothing to either, and exits with 2."""
    variables = {"CELERY_BROKER_URL": broker.url(vhost), "FLOWER_BROKER_API": other_broker.management_url}
    before = [each.management.request("GET", "policies") for each in (broker, other_broker)]

    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "theirs", *command.split()],
        env=child_environment(**variables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )

    assert done.returncode == EXIT_USAGE, done.stderr
    assert f"http://127.0.0.1:{other_broker.management_port}/" in done.stderr
    assert f"127.0.0.1:{broker.port}/" in done.stderr
    assert "Traceback" not in done.stderr
    assert [each.management.request("GET", "policies") for each in (broker, other_broker)] == before


def test_audit_refuses_the_management_api_of_another_broker(
    celery: Celery, broker: Broker, vhost: str, other_broker: Broker
) -> None:
    """Before it says what is missing, which it cannot know."""
    variables = {"CELERY_BROKER_URL": broker.url(vhost), "FLOWER_BROKER_API": other_broker.management_url}
    made = celery("-A", "proj", "lab", "run", "--messages", "2", "--dot-seconds", "0.01", "-o", "run.journal")
    assert made.returncode == 0, made.stderr

    audited = celery("-A", "proj", "journal", "audit", "run.journal", **variables)

    assert audited.returncode == EXIT_USAGE, audited.stderr
    assert f"http://127.0.0.1:{other_broker.management_port}/" in audited.stderr
