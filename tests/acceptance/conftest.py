"""Our commands, as a user types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

from proj.lab.environment import child_environment

if TYPE_CHECKING:
    from proj.lab.broker import Broker

ROOT = Path(__file__).parents[2]


class Celery(Protocol):
    """Types `celery …` and gives back what came of it."""

    def __call__(self, *words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        ...


@pytest.fixture
def celery(tmp_path: Path) -> Celery:
    """The `celery` command of this environment, run in an empty folder, with `variables` set."""

    def run(*words: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "celery", *words],
            input=stdin,
            env=child_environment(**variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def variables(broker: Broker, vhost: str) -> dict[str, str]:
    """What a user exports so that every command finds the broker."""
    return {"CELERY_BROKER_URL": broker.url(vhost), "FLOWER_BROKER_API": broker.management_url}


@pytest.fixture
def terminal_environment() -> dict[str, str]:
    """The environment of a command that a test starts and interrupts."""
    return {**child_environment(), "COLUMNS": os.environ.get("COLUMNS", "120")}
