"""What every test can rely on."""

from __future__ import annotations

import secrets
import signal
from typing import TYPE_CHECKING

import pytest

from proj.lab.broker import Broker
from proj.lab.processes.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator

# A shell starts what runs in its background deaf to Ctrl-C, and whatever that starts inherits it: the commands that
# tests interrupt would hear nothing.
signal.signal(signal.SIGINT, signal.default_int_handler)

# --- A real broker for the whole run, and a virtual host of its own for each test ---------------------


@pytest.fixture(scope="session")
def guard() -> Iterator[Guard]:
    """Owner of all processes of the run: they end with it, even when the run is killed."""
    with Guard() as guard:
        yield guard


@pytest.fixture(scope="session")
def broker(guard: Guard) -> Iterator[Broker]:
    """A RabbitMQ that must not be stopped, since all tests share it."""
    with Broker(guard) as broker:
        yield broker


@pytest.fixture
def vhost(broker: Broker) -> Iterator[str]:
    """The name of a virtual host with our policies, for one test."""
    name = f"test-{secrets.token_hex(4)}"
    broker.add_vhost(name)
    yield name
    broker.remove_vhost(name)


# --- On what the workers' tests run -----------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice between bare processes and Docker for the tests that use pytest-celery's `celery_setup`."""
    group = parser.getgroup("proj")
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
