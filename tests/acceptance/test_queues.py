"""`celery -A anyapp queues`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proj.lab.deadline import wait_until
from proj.lab.environment import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Celery


@pytest.fixture
def _three_wait(celery: Celery, variables: dict[str, str]) -> None:
    assert celery("-A", "proj", "send", "a.", "b.", "c.", **variables).returncode == 0


@pytest.mark.usefixtures("_three_wait")
def test_queues_shows_what_was_just_sent(celery: Celery, variables: dict[str, str]) -> None:
    """Counted now, and not at the last tick of the broker's statistics."""
    shown = celery("-A", "proj", "queues", **variables)

    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["name", "type", "ready", "unacknowledged", "consumers"] in rows
    assert ["task_queue", "quorum", "3", "0", "0"] in rows
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.usefixtures("_three_wait")
def test_queues_prints_json_for_programs(celery: Celery, variables: dict[str, str]) -> None:
    """The same, a list of objects."""
    shown = celery("-A", "proj", "queues", "--json", **variables)

    assert {
        "name": "task_queue",
        "type": "quorum",
        "ready": 3,
        "unacknowledged": 0,
        "consumers": 0,
    } in json.loads(shown.stdout)


@pytest.mark.usefixtures("_three_wait")
def test_queues_asks_amqp_when_there_is_no_management_api(celery: Celery, variables: dict[str, str]) -> None:
    """It shows what it can, and says what is missing and how to get it."""
    shown = celery("-A", "proj", "queues", **{**variables, "FLOWER_BROKER_API": "http://127.0.0.1:1/api/"})

    assert ["task_queue", "?", "3", "?", "0"] in [line.split() for line in shown.stdout.splitlines()]
    assert "No management API answers at http://127.0.0.1:1" in shown.stderr
    assert "--broker-api" in shown.stderr
    assert shown.returncode == 0


def test_queues_works_with_any_app(celery: Celery, variables: dict[str, str], tmp_path: Path) -> None:
    """Nothing of ours has to be in it."""
    (tmp_path / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")

    shown = celery("-A", "theirs", "queues", **variables)

    assert shown.returncode == 0, shown.stderr
    assert "dead_letters" in shown.stdout


def test_queues_watch_looks_again_until_it_is_interrupted(variables: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C is how it ends, so that is no failure."""
    output = tmp_path / "looks"
    with output.open("w") as looks:
        watch = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "queues", "--watch", "--json", "--interval", "0.1"],
            env=child_environment(PYTHONUNBUFFERED="1", **variables),
            stdout=looks,
        )
    wait_until(lambda: output.read_text().count("\n") >= 3, what="three looks", timeout_s=20)

    watch.send_signal(signal.SIGINT)

    assert watch.wait(20) == 0


def test_queues_says_that_no_broker_answers(celery: Celery) -> None:
    """Exit code 3."""
    failed = celery("-A", "proj", "queues", CELERY_BROKER_URL="amqp://me:secret@127.0.0.1:1//")

    assert failed.returncode == 3
    assert "No broker answers at amqp://me:**@127.0.0.1:1//" in failed.stderr


def test_queues_refuses_an_api_that_is_no_url(celery: Celery, variables: dict[str, str]) -> None:
    """Exit code 2, and an example of one."""
    refused = celery("-A", "proj", "queues", "--broker-api", "localhost", **variables)

    assert refused.returncode == 2
    assert "http://user:password@localhost:15672/api/" in refused.stderr


def test_queues_open_gives_the_address_to_the_browser(
    celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """The tutorials' emitter asked "reply y to open it"; this is the y."""
    browser = tmp_path / "xdg-open"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)

    opened = celery("-A", "proj", "queues", "--open", **variables, PATH=f"{tmp_path}:/usr/bin:/bin")

    page = variables["FLOWER_BROKER_API"].rpartition("@")[2].removesuffix("api/")
    assert (opened.returncode, opened.stdout) == (0, f"http://{page}\n"), opened.stderr
    wait_until((tmp_path / "opened").exists, what="the browser", timeout_s=10)
    assert (tmp_path / "opened").read_text() == f"http://{page}\n"
