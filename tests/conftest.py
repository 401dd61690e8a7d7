"""What every test can rely on."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from celery._state import _set_task_join_will_block
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proj.broker.version import BrokerVersion
from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.rabbitmq import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

# A shell starts what runs in its background deaf to Ctrl-C, and whatever that starts inherits it: the commands that
# tests interrupt would hear nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

#: What a broker writes into its log when something is wrong with it.
_BAD_LINE = re.compile(r"\[(error|warning|critical)\](?!.*(closing AMQP|closed TCP))|alarm|crash", re.IGNORECASE)
#: Processes that the running test has started, and how many of them are shown when it fails, with so many lines.
_STARTED: list[Process] = []
MOST_SHOWN = 8
LINES_SHOWN = 6

# --- Hypothesis on a busy machine -------------------------------------------------------------------

# How long an example takes says more about the machine than about the code.
settings.register_profile("proj", deadline=None)
settings.load_profile("proj")


def pytest_configure(config: pytest.Config) -> None:
    """Let every broker of the run be the RabbitMQ that was asked for, and note each process that a test starts."""
    if version := config.getoption("rabbitmq"):
        os.environ[VARIABLE] = version
    start = Process.start

    def noted(process: Process) -> None:
        _STARTED.append(process)
        start(process)

    pytest.MonkeyPatch().setattr(Process, "start", noted)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let Hypothesis read our source and its table of characters before the first test that uses it.

    It does both when it draws its first number and its first text. On a new checkout that takes seconds, and it would
    count them as the time that this test's strategies need (health check `too_slow`).
    """
    if any(item.get_closest_marker("hypothesis") for item in session.items):
        _draw_once()


@settings(max_examples=1, database=None, suppress_health_check=list(HealthCheck))
@given(st.integers(), st.text())
def _draw_once(_number: int, _text: str) -> None:
    pass


# --- What workers and clients inside the process of the tests leave behind --------------------------------------


@pytest.fixture(autouse=True)
def _without_traces_of_workers() -> None:
    """Let each test begin as in a process of its own.

    Celery's worker raises the level of the root logger, and forbids `result.get()` for the whole process. A client adds
    the queues to the app that something is sent to.
    """
    logging.getLogger().setLevel(logging.WARNING)
    if ours := sys.modules.get("proj.celery"):
        for cached in ("queues", "router", "send_task_message"):
            vars(ours.app.amqp).pop(cached, None)
    _STARTED.clear()
    _set_task_join_will_block(False)  # noqa: FBT003 Celery's signature


# --- A real broker for the whole run, and a virtual host of its own for each test ---------------------


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Owner of all processes of the run: they end with it, even when the run is killed."""
    with Guard() as guard:
        yield guard


@pytest.fixture(scope="session")
def broker(guard: Guard) -> Iterator[Broker]:
    """A RabbitMQ that must not be stopped, since all tests share it."""
    # RabbitMQ 4 refuses messages above 16 MiB unless told otherwise, and tests show what a worker does with one.
    with Broker(guard, settings={"max_message_size": str(128 * 1024 * 1024)}) as broker:
        yield broker


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test how busy the machine is, and what its processes and its broker said last."""
    report = yield
    if report.failed:
        said = [f"Load: {os.getloadavg()}"]
        for process in _STARTED[-MOST_SHOWN:]:
            lines = process.log_text().splitlines()[-LINES_SHOWN:]
            said += [f"{process.name} (exit status {process.returncode}):", *(f"    {line[:200]}" for line in lines)]
        report.sections.append(("the processes", "\n".join(said)))
    broker = getattr(item, "funcargs", {}).get("broker")
    if report.failed and isinstance(broker, Broker):
        bad = [line for line in broker.log_text().splitlines() if _BAD_LINE.search(line)]
        free = shutil.disk_usage(broker.folder).free
        report.sections.append(("the broker", "\n".join([f"Free on its disk: {free >> 20} MiB", *bad[-40:]])))
    return report


@pytest.fixture
def version(broker: Broker) -> BrokerVersion:
    """The version of that RabbitMQ."""
    return BrokerVersion.read(broker.management.request("GET", "overview")["rabbitmq_version"])


@pytest.fixture
def vhost(broker: Broker) -> Iterator[str]:
    """The name of a virtual host with our policies, for one test."""
    name = f"test-{secrets.token_hex(4)}"
    broker.add_vhost(name)
    yield name
    broker.remove_vhost(name)


@pytest.fixture(scope="session")
def other_broker(guard: Guard, broker: Broker) -> Iterator[Broker]:
    """A second RabbitMQ with the same cluster name, and with the same users and passwords as the first."""
    folder = guard.folder / "other"
    folder.mkdir()
    (folder / "password").write_text(broker.password)
    with Broker(guard, folder=folder) as other:
        yield other


# --- On what the workers' tests run -----------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of RabbitMQ, and that between bare processes and Docker for pytest-celery's `celery_setup`."""
    group = parser.getgroup("proj")
    group.addoption(
        "--rabbitmq",
        default=None,
        metavar="VERSION",
        help="RabbitMQ that scripts/brokers VERSION unpacked (default: PROJ_RABBITMQ, or the machine's own)",
    )
    group.addoption(
        "--runtime",
        choices=("process", "docker"),
        default="process",
        help="what tests/integration/workers runs its broker and workers as (default: %(default)s)",
    )
    group.addoption(
        "--worker-image",
        default="proj",
        metavar="NAME",
        help="image of the worker, made by `docker build -t proj .` (default: %(default)s)",
    )
    group.addoption(
        "--rabbitmq-image",
        default="rabbitmq:4-management",
        metavar="NAME",
        help="image of the broker, with the management plug-in (default: %(default)s)",
    )
