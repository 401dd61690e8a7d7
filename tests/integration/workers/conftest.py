"""pytest-celery's fixtures for our application: its broker, its workers, and the engine that runs them."""

from __future__ import annotations

import copy
import os
from contextlib import ExitStack
from functools import partialmethod
from secrets import token_hex, token_urlsafe
from typing import TYPE_CHECKING, Any

import pytest
from docker.models.containers import Container
from kombu import Connection
from pytest_celery import CeleryBrokerCluster, CeleryTestWorker, CeleryWorkerCluster, RabbitMQTestBroker
from pytest_docker_tools import container, fxtr, network

from proj import tasks
from proj.celery import app as proj_app
from proj.delivery.publishing.confirm_publishing import close_publishing
from proj.lab.definitions import USER
from proj.lab.processes.guard import Guard
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.queues import QUORUM
from tests.integration.workers.containers import (
    BROKER_TIMEOUT_S,
    WORKER_TIMEOUT_S,
    BrokerContainer,
    WorkerContainer,
)
from tests.processes.engine import ProcessEngine
from tests.processes.images import AMQP_PORT, MANAGEMENT_PORT, BrokerProgram, WorkerProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery, Task

#: Variables that would make Celery use another broker or backend than the test's, in spite of its settings.
OVERRIDING_VARIABLES = (
    "CELERY_BROKER_URL",
    "CELERY_BROKER_READ_URL",
    "CELERY_BROKER_WRITE_URL",
    "CELERY_RESULT_BACKEND",
)


# --- What a test may choose, with @pytest.mark.parametrize --------------------------------------------


@pytest.fixture
def dispatch() -> str:
    """The workers' PROJ_DISPATCH."""
    return "adaptive"


@pytest.fixture
def dot_seconds() -> str:
    """The workers' PROJ_DOT_SECONDS."""
    return "0.1"


@pytest.fixture
def slots() -> int:
    """Tasks that a worker runs at a time."""
    return 1


@pytest.fixture
def work(celery_setup_app: Celery) -> Task:
    """`proj.tasks.work`, sent to the test's broker."""
    task: Task = celery_setup_app.tasks[tasks.work.name]
    return task


# --- The engine ------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def worker_image(pytestconfig: pytest.Config) -> str:
    """The image that our Dockerfile builds."""
    return str(pytestconfig.getoption("worker_image"))


@pytest.fixture(scope="session")
def rabbitmq_image(pytestconfig: pytest.Config) -> str:
    """A RabbitMQ with the management plug-in."""
    return str(pytestconfig.getoption("rabbitmq_image"))


@pytest.fixture(scope="session")
def docker_client(request: pytest.FixtureRequest, worker_image: str, rabbitmq_image: str) -> Iterator[object]:
    """Docker, or plain processes behind the same API."""
    if request.config.getoption("runtime") == "docker":
        client = request.getfixturevalue("docker_client")
        with pytest.MonkeyPatch.context() as patch:
            # pytest-docker-tools does not remove unnamed volumes with a container, and the broker's data is in one.
            patch.setattr(Container, "remove", partialmethod(Container.remove, v=True))
            yield client
        client.close()
        return
    with Guard() as guard:
        yield ProcessEngine(guard, {worker_image: WorkerProgram, rabbitmq_image: BrokerProgram})


default_pytest_celery_network = network(scope="session")


# --- The broker: one per session, a virtual host per test ---------------------------------------------------


@pytest.fixture(scope="session")
def rabbitmq_ports() -> dict[str, tuple[str, int]]:
    """Its ports on loopback, fixed so that they outlive a restart."""
    return {AMQP_PORT: (LOOPBACK, free_port()), MANAGEMENT_PORT: (LOOPBACK, free_port())}


@pytest.fixture(scope="session")
def rabbitmq_environment() -> dict[str, str]:
    """Its credentials, in the RabbitMQ image's own variables."""
    return {"RABBITMQ_DEFAULT_USER": USER, "RABBITMQ_DEFAULT_PASS": token_urlsafe(16)}


rabbitmq_container = container(
    scope="session",
    image="{rabbitmq_image}",
    ports=fxtr("rabbitmq_ports"),
    environment=fxtr("rabbitmq_environment"),
    network="{default_pytest_celery_network.name}",
    wrapper_class=BrokerContainer,
    timeout=int(BROKER_TIMEOUT_S),
)


@pytest.fixture
def default_rabbitmq_broker(rabbitmq_container: BrokerContainer) -> Iterator[BrokerContainer]:
    """The session's broker, alive and in a new virtual host."""
    _revive(rabbitmq_container)
    rabbitmq_container.enter_vhost(f"test-{token_hex(4)}")
    yield rabbitmq_container
    # A failed test may have left it stopped.
    _revive(rabbitmq_container)
    rabbitmq_container.leave_vhost()


def _revive(broker: BrokerContainer) -> None:
    broker.reload()
    if broker.status != "running":
        broker.restart()


@pytest.fixture
def celery_broker_cluster(celery_rabbitmq_broker: RabbitMQTestBroker) -> CeleryBrokerCluster:
    """RabbitMQ only: pytest-celery would repeat each test for every broker whose client is installed."""
    return CeleryBrokerCluster(celery_rabbitmq_broker)


@pytest.fixture
def celery_backend_cluster() -> None:
    """None: results come over the broker. pytest-celery would skip every test when no backend's client is installed."""


# --- The workers ----------------------------------------------------------------------------------------


@pytest.fixture
def default_worker_container_cls() -> type[WorkerContainer]:
    """The class that makes the worker's command and environment."""
    return WorkerContainer


@pytest.fixture
def default_worker_command(default_worker_container_cls: type[WorkerContainer], slots: int) -> list[str]:
    """The command line of every worker of the test."""
    return default_worker_container_cls.command("--concurrency", str(slots))


@pytest.fixture
def default_worker_env(
    default_worker_container_cls: type[WorkerContainer],
    celery_worker_cluster_config: dict[str, Any],
    dispatch: str,
    dot_seconds: str,
) -> dict[str, str]:
    """The environment of every worker of the test."""
    return {
        **default_worker_container_cls.initial_env(celery_worker_cluster_config),
        "PROJ_DISPATCH": dispatch,
        "PROJ_DOT_SECONDS": dot_seconds,
        # The test declares the queue as well, and both must mean the same one.
        "PROJ_QUEUE_TYPE": os.environ.get("PROJ_QUEUE_TYPE") or QUORUM,
    }


def _worker_container() -> Any:
    return container(
        image="{worker_image}",
        network="{default_pytest_celery_network.name}",
        # Functions and not `fxtr`: pytest does not see the fixtures behind `fxtr` at collection, so a test could not
        # parametrize them.
        environment=lambda default_worker_env: default_worker_env,
        command=lambda default_worker_command: default_worker_command,
        wrapper_class=WorkerContainer,
        timeout=int(WORKER_TIMEOUT_S),
    )


default_worker_container = _worker_container()
second_worker_container = _worker_container()


@pytest.fixture
def celery_second_worker(
    default_worker_cls: type[CeleryTestWorker],
    second_worker_container: WorkerContainer,
    default_worker_app: Celery,
) -> CeleryTestWorker:
    """Another worker like the first, for tests that put both into `celery_worker_cluster`."""
    return default_worker_cls(container=second_worker_container, app=default_worker_app)


@pytest.fixture
def celery_worker_cluster(celery_setup_worker: CeleryTestWorker) -> CeleryWorkerCluster:
    """One worker."""
    return CeleryWorkerCluster(celery_setup_worker)


# --- The application that the test sends with -------------------------------------------------------------


@pytest.fixture
def celery_setup_app(celery_setup_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[Celery]:
    """A copy of our application on the test's broker; no pool and no setting outlives the test."""
    for name in OVERRIDING_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    # A shallow copy would share its settings with the original.
    app = copy.deepcopy(proj_app)
    app.conf.update({**celery_setup_config, "result_backend": "rpc://"})
    with ExitStack() as connections:
        # Celery leaves the connection for results to the garbage collector, which warns about it.
        app.amqp.Connection = lambda *where, **how: connections.enter_context(Connection(*where, **how))
        yield app
        close_publishing(app)
        app.pool.force_close_all()
    app.close()
    # pytest-celery makes the copy the current app when it restarts a node.
    proj_app.set_current()
