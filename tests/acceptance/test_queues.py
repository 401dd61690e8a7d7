"""`celery -A anyapp queues`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from kombu import Connection

from proj.lab.processes.environment import child_environment
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from proj.lab.broker import Broker

    from .conftest import Celery


@pytest.fixture
def _three_wait(celery: Celery, variables: dict[str, str]) -> None:
    assert celery("-A", "proj", "send", "a.", "b.", "c.", **variables).returncode == 0


@pytest.mark.usefixtures("_three_wait")
def test_queues_counts_messages_that_were_just_sent(celery: Celery, variables: dict[str, str]) -> None:
    """The counts are not as old as the broker's statistics."""
    shown = celery("-A", "proj", "queues", **variables)

    rows = [line.split() for line in shown.stdout.splitlines()]
    assert ["name", "type", "ready", "unacknowledged", "consumers"] in rows
    assert ["task_queue", "quorum", "3", "0", "0"] in rows
    assert (shown.returncode, shown.stderr) == (0, "")


@pytest.mark.usefixtures("_three_wait")
def test_queues_prints_json_for_programs(celery: Celery, variables: dict[str, str]) -> None:
    """One list, with an object for each queue."""
    shown = celery("-A", "proj", "queues", "--json", **variables)

    assert {
        "name": "task_queue",
        "type": "quorum",
        "ready": 3,
        "unacknowledged": 0,
        "consumers": 0,
        "paused": False,
    } in json.loads(shown.stdout)


@pytest.mark.usefixtures("_three_wait")
def test_queues_counts_over_amqp_when_there_is_no_management_api(celery: Celery, variables: dict[str, str]) -> None:
    """It says what is unknown without the API, and which option names the API."""
    shown = celery("-A", "proj", "queues", **{**variables, "FLOWER_BROKER_API": "http://127.0.0.1:1/api/"})

    assert ["task_queue", "?", "3", "?", "0"] in [line.split() for line in shown.stdout.splitlines()]
    assert "No management API answers at http://127.0.0.1:1" in shown.stderr
    assert "--broker-api" in shown.stderr
    assert shown.returncode == 0


def test_queues_works_with_any_app(celery: Celery, variables: dict[str, str], tmp_path: Path) -> None:
    """The app needs nothing of ours."""
    (tmp_path / "theirs.py").write_text("from celery import Celery\napp = Celery('theirs')\n")

    shown = celery("-A", "theirs", "queues", **variables)

    assert shown.returncode == 0, shown.stderr
    assert "dead_letters" in shown.stdout


def test_queues_watch_looks_repeatedly_until_ctrl_c(variables: dict[str, str], tmp_path: Path) -> None:
    """Ctrl-C is its usual end, so the exit code is 0."""
    output = tmp_path / "looks"
    with output.open("w") as looks:
        watch = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "queues", "--watch", "--json", "--interval", "0.1"],
            env=child_environment(PYTHONUNBUFFERED="1", **variables),
            stdout=looks,
        )
    wait_until(lambda: output.read_text().count("\n") >= 3, what="three looks", timeout_s=60)

    watch.send_signal(signal.SIGINT)

    assert watch.wait(20) == 0


def test_queues_says_that_no_broker_answers(celery: Celery) -> None:
    """Exit code 3."""
    failed = celery("-A", "proj", "queues", CELERY_BROKER_URL="amqp://me:secret@127.0.0.1:1//")

    assert failed.returncode == 3
    assert "No broker answers at amqp://me:**@127.0.0.1:1//" in failed.stderr


def test_queues_refuses_an_api_that_is_not_a_url(celery: Celery, variables: dict[str, str]) -> None:
    """Exit code 2, and the error has an example of a URL."""
    refused = celery("-A", "proj", "queues", "--broker-api", "localhost", **variables)

    assert refused.returncode == 2
    assert "http://user:password@localhost:15672/api/" in refused.stderr


def program(file: Path, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize("display", [{}, {"DISPLAY": ":0"}])
def test_queues_open_only_prints_the_address_where_there_is_no_browser(
    celery: Celery, variables: dict[str, str], tmp_path: Path, display: dict[str, str]
) -> None:
    """Without a desktop, and on a desktop where `xdg-open` fails with messages of its own."""
    program(tmp_path / "xdg-open", "echo 'no method available for opening' >&2; exit 3")
    cleared = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "BROWSER": ""}

    shown = celery("-A", "proj", "queues", "--open", **variables, **{**cleared, **display, "PATH": str(tmp_path)})

    page = variables["FLOWER_BROKER_API"].rpartition("@")[2].removesuffix("api/")
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, f"http://{page}\n", "")


@pytest.fixture
def _bare_vhost(broker: Broker, variables: dict[str, str]) -> Iterator[None]:
    name = "bare"
    broker.management.request("PUT", f"vhosts/{name}", {})
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    broker.management.request("PUT", f"permissions/{name}/proj", rights)
    variables["CELERY_BROKER_URL"] = broker.url(name)
    yield
    broker.remove_vhost(name)


@pytest.mark.usefixtures("_bare_vhost")
def test_queues_says_that_there_are_no_queues(celery: Celery, variables: dict[str, str]) -> None:
    """A sentence instead of an empty table, an empty list as JSON, and another sentence without the management API."""
    shown = celery("-A", "proj", "queues", **variables)
    listed = celery("-A", "proj", "queues", "--json", **variables)
    by_amqp = celery("-A", "proj", "queues", **{**variables, "FLOWER_BROKER_API": "http://127.0.0.1:1/api/"})

    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "There are no queues.\n", "")
    assert listed.stdout == "[]\n"
    assert by_amqp.stdout == "None of the app's own queues exists.\n"


@pytest.mark.usefixtures("_bare_vhost")
def test_queues_watch_says_once_in_a_row_that_there_are_no_queues(variables: dict[str, str], tmp_path: Path) -> None:
    """In a pipe. It says so again when the last queue is deleted."""
    output = tmp_path / "looks"
    with output.open("w") as looks:
        watch = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "queues", "--watch", "--interval", "0.1"],
            env=child_environment(PYTHONUNBUFFERED="1", **variables),
            stdout=looks,
        )
    try:
        wait_until(lambda: "no queues" in output.read_text(), what="the sentence", timeout_s=60)
        with Connection(variables["CELERY_BROKER_URL"]) as connection:
            channel = connection.default_channel
            channel.queue_declare("mine", durable=True, auto_delete=False)
            wait_until(lambda: output.read_text().count("mine") >= 3, what="three tables", timeout_s=60)
            channel.queue_delete("mine")
        wait_until(lambda: output.read_text().count("no queues") == 2, what="the sentence again", timeout_s=60)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(20)

    assert output.read_text().count("There are no queues.") == 2
    assert output.read_text().count("growth/s") == output.read_text().count("mine")


def test_queues_open_opens_the_address_in_the_browser(
    celery: Celery, variables: dict[str, str], tmp_path: Path
) -> None:
    """The browser is the program in `BROWSER`."""
    program(tmp_path / "browser", f'echo "$1" > {tmp_path}/opened')

    opened = celery("-A", "proj", "queues", "--open", **variables, BROWSER=str(tmp_path / "browser"))

    page = variables["FLOWER_BROKER_API"].rpartition("@")[2].removesuffix("api/")
    assert (opened.returncode, opened.stdout) == (0, f"http://{page}\n"), opened.stderr
    wait_until((tmp_path / "opened").exists, what="the browser", timeout_s=60)
    assert (tmp_path / "opened").read_text() == f"http://{page}\n"
