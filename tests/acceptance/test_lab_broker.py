"""`celery -A proj lab broker`."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pika
import pytest

from proj.lab.processes.ports import free_port
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Celery


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_lab_broker_prints_what_to_export_and_ends_on_a_signal(
    terminal_environment: dict[str, str], tmp_path: Path, celery: Celery, number: signal.Signals
) -> None:
    """A shell can run what it prints on stdout; the exit code after a signal is 0."""
    port, exports = free_port(), tmp_path / "exports"
    with exports.open("w") as stdout:
        running = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "lab", "broker", "--port", str(port)],
            env=terminal_environment,
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
    wait_until(lambda: exports.read_text().count("\n") == 2, what="the broker", timeout_s=60)
    variables = dict(re.findall(r"^export (\w+)=(\S+)$", exports.read_text(), flags=re.MULTILINE))

    sent = celery("-A", "proj", "send", "hello.", **variables)
    shown = celery("-A", "proj", "queues", **variables)
    with pika.BlockingConnection(pika.URLParameters(variables["CELERY_BROKER_URL"])) as connection:
        assert connection.is_open
    running.send_signal(number)

    assert running.wait(30) == 0
    assert f":{port}/" in variables["CELERY_BROKER_URL"]
    assert sent.returncode == 0, sent.stderr
    assert ["task_queue", "quorum", "1", "0", "0"] in [line.split() for line in shown.stdout.splitlines()]


@pytest.mark.parametrize("guest", [True, False])
def test_lab_broker_serves_the_tutorials_programs_when_asked_to(
    terminal_environment: dict[str, str],
    tmp_path: Path,
    guest: bool,  # noqa: FBT001 a parameter
) -> None:
    """With --guest they log in as guest; it prints the port when it is not theirs. Without it there is no guest."""
    port, said = free_port(), tmp_path / "said"
    with said.open("w") as stderr:
        running = subprocess.Popen(
            [
                *(sys.executable, "-m", "celery", "-A", "proj", "lab", "broker", "--port", str(port)),
                *(["--guest"] if guest else []),
            ],
            env=terminal_environment,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_until(lambda: said.read_text().count("\n") == 2 + guest, what="the broker", timeout_s=60)
        theirs = pika.ConnectionParameters(host="localhost", port=port)
        if guest:
            with pika.BlockingConnection(theirs) as connection:
                connection.channel().queue_declare("task_queue", durable=True, arguments={"x-queue-type": "quorum"})
        else:
            with pytest.raises(pika.exceptions.ProbableAuthenticationError):
                pika.BlockingConnection(theirs)
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)

    assert running.returncode == 0
    assert ("The user guest, password guest, may use it too" in said.read_text()) is guest
    assert (f"ConnectionParameters(host='localhost', port={port})" in said.read_text()) is guest


def test_lab_broker_refuses_a_port_that_is_taken(celery: Celery) -> None:
    """A user who names a port wants that port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        refused = celery("-A", "proj", "lab", "broker", "--port", str(port))

    assert refused.returncode == 2
    assert f"--port is {port}, but must be a free port" in refused.stderr


def test_lab_broker_says_how_to_install_rabbitmq(tmp_path: Path) -> None:
    """One sentence names the ways for Debian and Ubuntu, macOS, and Docker."""
    program = (
        "from proj.lab import rabbitmq; rabbitmq.FOLDERS = (); "
        "import sys; sys.argv = ['celery', '-A', 'proj', 'lab', 'broker']; "
        "from celery.__main__ import main; main()"
    )

    failed = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert failed.returncode == 1
    assert re.search(r"^Error: No rabbitmq-server is installed\..*apt-get.*brew.*docker", failed.stderr)
