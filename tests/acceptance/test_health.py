"""`celery -A anyapp health`."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Celery, Theirs

NO_API = "http://127.0.0.1:1/api/"


def test_health_of_two_healthy_workers_exits_with_0(celery: Celery, variables: dict[str, str], theirs: Theirs) -> None:
    """A probe gets its answer within seconds, and the app's tasks are not imported."""
    theirs.start("one@x", "two@x")

    found = findings(celery, variables)

    assert set(found) == {"one@x", "two@x"}
    assert all(finding[0] == "yes" and finding[2] == "yes" for finding in found.values())
    began = time.monotonic()
    assert celery("-A", "theirs", "health", "--worker", "one@x", **variables).returncode == 0
    # A second on an idle machine. A command that waited for a worker that does not answer would take a minute.
    assert time.monotonic() - began < 30


def test_health_without_the_management_api_says_what_is_unknown(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """It compares the number of consumers with what workers say, and warns that silent workers are not found."""
    theirs.start("one@x")

    shown = celery("-A", "theirs", "health", "--broker-api", NO_API, **variables)

    assert shown.returncode == 0, shown.stderr
    assert "as many consumers as workers say" in shown.stdout
    assert "No management API answers" in shown.stderr


def test_health_distinguishes_a_stopped_a_cancelled_and_a_hanging_worker(
    celery: Celery, variables: dict[str, str], theirs: Theirs
) -> None:
    """The first is not alive, the second not consuming, the third not progressing, where --stuck-after is given."""
    stopped, _, _ = theirs.start("stopped@x", "cancelled@x", "hanging@x")
    theirs.wait_until_listed()
    assert celery("-A", "theirs", "control", "cancel_consumer", "theirs", "-d", "cancelled@x", **variables).stdout
    os.kill(stopped.pid, signal.SIGSTOP)
    theirs.send(times=4)
    theirs.wait_until_begun(1)

    asked = celery("-A", "theirs", "health", "--json", "--stuck-after", "0.5", **variables)

    found = {row["worker"]: row for row in json.loads(asked.stdout)}
    assert asked.returncode == 1
    assert [found["stopped@x"][part]["answer"] for part in ("alive", "progressing")] == ["no", "unknown"]
    assert [found["cancelled@x"][part]["answer"] for part in ("alive", "consuming")] == ["yes", "no"]
    assert [found["hanging@x"][part]["answer"] for part in ("alive", "progressing")] == ["yes", "no"]
    # Without --stuck-after that is unknown, which is not unhealthy.
    assert celery("-A", "theirs", "health", "--worker", "hanging@x", **variables).returncode == 0
    assert celery("-A", "theirs", "health", "--worker", "cancelled@x", **variables).returncode == 1
    assert (
        celery("-A", "theirs", "health", "--worker", "stopped@x", "--broker-api", NO_API, **variables).returncode == 1
    )


def test_health_of_no_worker_exits_with_1(celery: Celery, variables: dict[str, str], theirs: Theirs) -> None:
    """The probed worker has not started yet, or has stopped."""
    assert theirs.workers == []

    named = celery("-A", "theirs", "health", "--worker", "nobody@x", **variables)
    anyone = celery("-A", "theirs", "health", **variables)

    assert (named.returncode, anyone.returncode) == (1, 1)
    assert "the broker knows no such worker" in named.stdout
    assert "No worker answers." in anyone.stderr


@pytest.mark.usefixtures("theirs")
def test_health_says_that_no_broker_answers(celery: Celery) -> None:
    """The exit code is 3."""
    failed = celery("-A", "theirs", "health", CELERY_BROKER_URL="amqp://127.0.0.1:1//")

    assert failed.returncode == 3
    assert "No broker answers" in failed.stderr


def findings(celery: Celery, variables: dict[str, str]) -> dict[str, tuple[str, str, str]]:
    """Of each worker: alive, consuming, progressing."""
    rows = json.loads(celery("-A", "theirs", "health", "--json", **variables).stdout)
    return {row["worker"]: tuple(row[part]["answer"] for part in ("alive", "consuming", "progressing")) for row in rows}
