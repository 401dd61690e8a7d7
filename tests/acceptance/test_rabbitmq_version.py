"""`--version` of the commands that start a private RabbitMQ."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from proj.broker.management_api import Management
from proj.errors import MissingProgram
from proj.lab.processes.waiting import wait_until
from proj.lab.rabbitmq import VARIABLE, installation

if TYPE_CHECKING:
    from .conftest import Celery

#: The versions that `scripts/brokers` knows.
VERSIONS = ("4.3", "4.0", "3.10")
#: The commands, each with work that lasts longer than the test.
COMMANDS = {
    "lab broker": (),
    "lab drill": ("--fault", "malformed", "--queue-type", "classic"),
    "lab run": ("--dot-seconds", "60", "-o", "run.sqlite"),
    "lab pipeline": ("a b", "--dot-seconds", "600"),
    "demo": ("--dot-seconds", "60"),
}
TIMEOUT_S = 60


def is_unpacked(version: str) -> bool:
    try:
        installation(version)
    except MissingProgram:
        return False
    return True


@pytest.fixture
def version() -> str:
    """An unpacked RabbitMQ, if possible another one than this run of the tests uses."""
    known = sorted(VERSIONS, key=lambda version: version == os.environ.get(VARIABLE))
    found = next(filter(is_unpacked, known), None)
    if found is None:
        # In the gate, scripts/test-versions unpacks one and runs this again.
        pytest.skip(f"No other RabbitMQ is unpacked: scripts/brokers {VERSIONS[0]}")
    return found


def nodes(process: subprocess.Popen[str]) -> list[str]:
    """The command line of each RabbitMQ node that the process has started."""
    commands = map(command_line, psutil.Process(process.pid).children(recursive=True))
    return [command for command in commands if "beam.smp" in command and "rabbit" in command]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.mark.parametrize("command", COMMANDS)
def test_command_starts_the_version_that_was_asked_for(
    terminal_environment: dict[str, str], tmp_path: Path, version: str, command: str
) -> None:
    """Whatever `PROJ_RABBITMQ` names, and a signal ends the command as usual."""
    said = tmp_path / "said"
    folder = str(Path(installation(version).server).parents[1])
    with said.open("w") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", *command.split(), *COMMANDS[command], "--version", version],
            env={**terminal_environment, VARIABLE: "0.0"},
            cwd=tmp_path,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        wait_until(lambda: running.poll() is not None or nodes(running), what="a node", timeout_s=TIMEOUT_S)
        assert running.poll() is None, said.read_text()
        assert all(folder in node for node in nodes(running))
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(TIMEOUT_S)
    assert running.returncode == (0 if command == "lab broker" else 130), said.read_text()


def test_lab_broker_of_another_version_is_the_one_that_answers(
    terminal_environment: dict[str, str], tmp_path: Path, version: str
) -> None:
    """The management API at the printed address gives that version."""
    exports = tmp_path / "exports"
    with exports.open("w") as stdout:
        running = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "proj", "lab", "broker", "--version", version],
            env=terminal_environment,
            cwd=tmp_path,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: exports.read_text().count("\n") == 2, what="the broker", timeout_s=TIMEOUT_S)
        variables = dict(re.findall(r"^export (\w+)=(\S+)$", exports.read_text(), flags=re.MULTILINE))
        overview = Management(variables["FLOWER_BROKER_API"]).request("GET", "overview?columns=rabbitmq_version")
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(TIMEOUT_S)

    assert overview["rabbitmq_version"].startswith(f"{version}.")


@pytest.mark.parametrize("command", COMMANDS)
def test_version_that_is_not_unpacked_is_refused_with_the_remedy(celery: Celery, command: str) -> None:
    """One sentence, and the exit code of a failure."""
    refused = celery("-A", "proj", *command.split(), *COMMANDS[command], "--version", "9.9")

    assert refused.returncode == 1
    sentence = r"^Error: RabbitMQ 9\.9 is not unpacked: .*; run scripts/brokers 9\.9 in a checkout\.$"
    assert re.search(sentence, refused.stderr, re.MULTILINE)
