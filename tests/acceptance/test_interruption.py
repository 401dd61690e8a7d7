"""Ctrl-C while a command waits: exit code 130, one sentence, no traceback."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from proj.journal.attempt import Attempt
from proj.journal.writer import JournalWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 60


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """Accepts connections and never says a word, as a broker that hangs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        yield listener


@pytest.mark.parametrize(
    "words",
    [
        ("health",),
        ("queues",),
        ("queues", "dead"),
        ("queues", "halt", "--queue", "task_queue", "--drain"),
        ("queues", "policy"),
        ("journal", "audit", "run.sqlite"),
        ("send", "hello."),
    ],
    ids=" ".join,
)
def test_ctrl_c_ends_a_command_that_waits_with_exit_code_130(
    words: tuple[str, ...], silent: socket.socket, tmp_path: Path, terminal_environment: dict[str, str]
) -> None:
    """1 means no in some of them."""
    with JournalWriter(tmp_path / "run.sqlite") as writer:
        writer.put_attempts([Attempt(task_id="one", state="sent", sent=1.0)])
        writer.commit()
    port = silent.getsockname()[1]
    with subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", "proj", *words],
        env={
            **terminal_environment,
            "CELERY_BROKER_URL": f"amqp://127.0.0.1:{port}//",
            "FLOWER_BROKER_API": f"http://127.0.0.1:{port}/api/",
        },
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as command:
        try:
            connected, _address = silent.accept()
            with connected:
                command.send_signal(signal.SIGINT)
                out, err = command.communicate(timeout=TIMEOUT_S)
        finally:
            command.kill()

    assert (command.returncode, out) == (130, ""), err
    assert err.endswith("Error: Interrupted.\n")
    assert "Traceback" not in err
