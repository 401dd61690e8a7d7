"""The private RabbitMQ: it has its own folder, listens on loopback, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import amqp
import click
import kombu
import packaging
import pika
import psutil
import pytest
import vine

import proj
from proj.broker.version import BrokerVersion
from proj.errors import MissingProgram, ProcessEnded
from proj.lab import rabbitmq
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import is_free
from proj.lab.processes.waiting import wait_until
from proj.lab.rabbitmq import installation

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534

#: Starts a node, prints what can be looked for afterwards, and waits to be ended.
PROGRAM = """
import os, sys, psutil
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard

with Guard() as guard, Broker(guard) as broker:
    pids = [process.pid for process in psutil.Process().children(recursive=True)]
    print(os.getuid(), broker.port, guard.folder, *pids, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def own_guard() -> Iterator[Guard]:
    """A separate guard for each test, because these tests stop its brokers."""
    with Guard() as guard:
        yield guard


def publish(broker: Broker, queue: str, count: int) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(queue, durable=True)
        for number in range(count):
            channel.basic_publish("", queue, str(number).encode(), pika.BasicProperties(delivery_mode=2))


def waiting(broker: Broker, queue: str) -> int:
    with pika.BlockingConnection(pika.URLParameters(broker.url())) as connection:
        return int(connection.channel().queue_declare(queue, durable=True, passive=True).method.message_count)


def test_broker_keeps_its_data_when_it_is_stopped_and_when_it_is_killed(own_guard: Guard, tmp_path: Path) -> None:
    """A second node in the folder of a stopped one has its messages, and so has a killed node after its restart."""
    folder = tmp_path / "kept"
    with Broker(own_guard, folder=folder) as broker:
        publish(broker, "kept", 10)

    # Killed only now: RabbitMQ 3.10 may forget a queue that was declared within moments of its death (Mnesia writes
    # its log with a delay), though not a message that it has confirmed.
    with Broker(own_guard, folder=folder) as successor:
        assert (successor.password, waiting(successor, "kept")) == (broker.password, 10)
        publish(successor, "kept", 10)
        address = successor.url()

        successor.kill()
        successor.start()

        assert (successor.url(), waiting(successor, "kept")) == (address, 20)


def lets_guest_in(broker: Broker) -> bool:
    """Connects as the tutorials' programs do, but to this broker's port."""
    try:
        pika.BlockingConnection(pika.ConnectionParameters(host="localhost", port=broker.port)).close()
    except pika.exceptions.ProbableAuthenticationError:
        return False
    return True


@pytest.mark.one_version
def test_broker_has_the_user_guest_only_when_asked_for(own_guard: Guard, tmp_path: Path) -> None:
    """Guest has all permissions; the next node in the same folder, started without it, has no guest."""
    with Broker(own_guard, folder=tmp_path / "kept", guest=True) as broker:
        address = f"amqp://guest:guest@127.0.0.1:{broker.port}/%2F"
        with pika.BlockingConnection(pika.URLParameters(address)) as connection:
            connection.channel().queue_declare("theirs", durable=True)
        assert lets_guest_in(broker)
        assert waiting(broker, "theirs") == 0

    with Broker(own_guard, folder=tmp_path / "kept") as successor:
        assert not lets_guest_in(successor)
        assert waiting(successor, "theirs") == 0


class Anonymous(amqp.sasl.SASL):  # type: ignore[misc] # amqp has no types
    """The login of a client that has none.

    Source: RFC 4505
    """

    mechanism = b"ANONYMOUS"

    def start(self, connection: object) -> bytes:
        del connection
        return b""


def test_broker_lets_no_client_in_without_a_login(own_guard: Guard) -> None:
    """RabbitMQ 4 would let it in as guest, where there is one."""
    with Broker(own_guard, guest=True) as broker:
        client = amqp.Connection(f"127.0.0.1:{broker.port}", authentication=[Anonymous()])

        with pytest.raises(amqp.exceptions.AMQPError):
            client.connect()
        client.collect()


def test_version_of_the_installation_is_the_one_that_the_broker_gives(broker: Broker) -> None:
    """What is written into its configuration depends on it."""
    overview = broker.management.request("GET", "overview?columns=rabbitmq_version")

    assert installation().version == BrokerVersion.read(overview["rabbitmq_version"])


def test_broker_listens_on_loopback_only(broker: Broker) -> None:
    """No server of the lab can be reached from another machine."""
    processes = [psutil.Process(broker.pid), *psutil.Process().children(recursive=True)]
    listening = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening
    assert listening <= {"127.0.0.1", "::1"}


def test_broker_hides_its_password_from_other_users(broker: Broker) -> None:
    """The password is in no command line, and in no file that other users can read."""
    readable = [
        path
        for path in broker.folder.iterdir()
        if path.is_file() and path.stat().st_mode & 0o077 and broker.password in path.read_text(errors="replace")
    ]
    commands = " ".join(psutil.Process(broker.pid).cmdline())

    assert readable == []
    assert broker.password not in commands


def test_broker_hides_messages_in_a_kept_folder_from_other_users(own_guard: Guard, tmp_path: Path) -> None:
    """They are in its data and in its log. A folder with files of somebody else keeps its own mode."""
    made, earlier, shared = tmp_path / "deep" / "made", tmp_path / "earlier", tmp_path / "shared"
    for folder, name in ((earlier, "password"), (shared, "theirs")):
        folder.mkdir()
        folder.chmod(0o755)
        (folder / name).write_text("text")
    for folder in (made, earlier, shared):
        Broker(own_guard, folder=folder)

    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (made, earlier, shared)] == [0o700, 0o700, 0o755]
    assert [stat.S_IMODE((shared / name).stat().st_mode) for name in ("data", "rabbitmq.log")] == [0o700, 0o600]


@pytest.mark.one_version
def test_command_to_a_broker_that_does_not_run_leaves_no_process(own_guard: Guard) -> None:
    """`rabbitmqctl` would start an epmd that outlives it, on the port of the broker's own."""
    broker = Broker(own_guard)

    with pytest.raises(ProcessEnded):
        broker.order("list_vhosts")

    home = str(broker.folder / "home")
    assert [process.cmdline() for process in psutil.process_iter() if environment(process).get("HOME") == home] == []


def environment(process: psutil.Process) -> dict[str, str]:
    """Its environment; empty when it has ended, or is another user's."""
    try:
        return process.environ()
    except psutil.Error:
        return {}


def test_broker_leaves_nothing_when_its_parent_is_killed() -> None:
    """Afterwards there is no node, no epmd, no listening port and no folder."""
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    _, port, folder, *pids = parent.stdout.readline().split()
    # An unpacked RabbitMQ's programs are started by a loader, which gives the processes its own name.
    commands = " ".join(word for pid in pids for word in psutil.Process(int(pid)).cmdline())

    parent.kill()
    parent.communicate()

    assert "beam.smp" in commands
    assert "epmd" in commands
    wait_until(lambda: not any(psutil.pid_exists(int(pid)) for pid in pids), what="the end of all", timeout_s=60)
    assert is_free(int(port))
    assert not Path(folder).exists()


@pytest.fixture
def world_readable_python(own_guard: Guard) -> tuple[str, dict[str, str]]:
    """An interpreter, and the environment in which it finds proj, that every user of the machine can run."""
    python = next(path for path in (sys.executable, "/usr/bin/python3") if runs_as_nobody(path))
    library = own_guard.folder / "library"
    for package in (proj, kombu, amqp, vine, click, psutil, packaging):
        source = Path(package.__file__).parent
        shutil.copytree(source, library / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    own_guard.folder.chmod(0o755)
    temporary = own_guard.folder / "tmp"
    temporary.mkdir(mode=0o700)
    os.chown(temporary, NOBODY, NOBODY)
    return python, {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(library), "TMPDIR": str(temporary)}


def runs_as_nobody(python: str) -> bool:
    try:
        subprocess.run([python, "-c", "pass"], user=NOBODY, env={}, cwd="/", check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


@pytest.mark.one_version
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user; anyone else is an ordinary user")
def test_broker_runs_as_an_ordinary_user(world_readable_python: tuple[str, dict[str, str]]) -> None:
    """It needs neither root nor the user `rabbitmq`."""
    python, environment = world_readable_python

    ended = subprocess.run(
        [python, "-c", PROGRAM],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        env=environment,
        cwd="/",
        input="",
        check=True,
        capture_output=True,
        text=True,
    )

    assert ended.stdout.split()[0] == str(NOBODY)


def test_missing_server_is_reported_with_the_ways_to_get_one(own_guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the ways for Debian and Ubuntu, macOS, and Docker."""
    monkeypatch.setattr(rabbitmq, "FOLDERS", ())
    monkeypatch.delenv(rabbitmq.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(own_guard.folder))

    with pytest.raises(MissingProgram) as caught:
        Broker(own_guard)

    for remedy in ("sudo apt-get install rabbitmq-server", "brew install rabbitmq", "docker compose up rabbitmq"):
        assert remedy in str(caught.value)
