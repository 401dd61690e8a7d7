"""Every name of pytest-celery and pytest-docker-tools that tests/processes and tests/integration/workers lean on.

When one of these fails after an upgrade, read the new version of what it names, mend those two places, and then the
expectation here.
"""

from __future__ import annotations

import importlib
import inspect
import re
from pkgutil import resolve_name
from typing import Any

import pytest
import pytest_celery
from pytest_celery import CeleryTestContainer
from pytest_docker_tools.exceptions import ContainerFailed

from proj.lab.processes.guard import Guard
from tests.processes.engine import ProcessEngine
from tests.unit.lab.processes.still_program import StillProgram

#: A callable, and the parameters by which we call or override it.
CALLABLES = {
    "pytest_celery:CeleryBrokerCluster": ["nodes"],
    "pytest_celery:CeleryTestNode.assert_log_exists": ["self", "log", "message", "timeout"],
    "pytest_celery:CeleryTestNode.kill": ["self", "signal", "reload_container"],
    "pytest_celery:CeleryTestNode.logs": ["self"],
    "pytest_celery:CeleryTestNode.restart": ["self", "reload_container", "force"],
    "pytest_celery:CeleryTestWorker": ["container", "app"],
    "pytest_celery:CeleryTestWorker.hostname": ["self"],
    "pytest_celery:CeleryWorkerCluster": ["nodes"],
    "pytest_celery:CeleryWorkerContainer.command": ["args", "debugpy", "wait_for_client", "kwargs"],
    "pytest_celery:CeleryWorkerContainer.initial_env": ["celery_worker_cluster_config", "initial"],
    "pytest_celery:CeleryWorkerContainer.log_level": [],
    "pytest_celery:CeleryWorkerContainer.ready": ["self"],
    "pytest_celery:CeleryWorkerContainer.restart": ["self", "timeout"],
    "pytest_celery:CeleryWorkerContainer.worker_name": [],
    "pytest_celery:CeleryWorkerContainer.worker_queue": [],
    "pytest_celery:RabbitMQContainer.ready": ["self"],
    "pytest_celery:RabbitMQTestBroker": ["container", "app"],
    "pytest_docker_tools:container": ["scope", "wrapper_class", "kwargs"],
    "pytest_docker_tools:fxtr": ["name"],
    "pytest_docker_tools:network": ["scope", "wrapper_class", "kwargs"],
}

#: Properties that we override in, or read from, the containers and the setup.
PROPERTIES = [
    "pytest_celery:CeleryTestNode.app",
    "pytest_celery:CeleryTestNode.container",
    "pytest_celery:CeleryTestSetup.app",
    "pytest_celery:CeleryTestSetup.broker",
    "pytest_celery:CeleryTestSetup.worker",
    "pytest_celery:CeleryTestSetup.worker_cluster",
    "pytest_celery:CeleryWorkerContainer.attrs",
    "pytest_celery:CeleryWorkerContainer.env",
    "pytest_celery:CeleryWorkerContainer.name",
    "pytest_celery:CeleryWorkerContainer.ready_prompt",
    "pytest_celery:CeleryWorkerContainer.status",
    "pytest_celery:RabbitMQContainer.host_url",
    "pytest_celery:RabbitMQContainer.hostname",
    "pytest_celery:RabbitMQContainer.port",
    "pytest_celery:RabbitMQContainer.ready_prompt",
    "pytest_celery:RabbitMQContainer.url",
    "pytest_celery:RabbitMQContainer.vhost",
]

#: A fixture of theirs, and those of the fixtures it asks for that we override or ask for ourselves.
FIXTURES = {
    "celery_broker_cluster_config": set(),
    "celery_rabbitmq_broker": {"default_rabbitmq_broker"},
    "celery_setup": {"celery_worker_cluster", "celery_broker_cluster", "celery_backend_cluster", "celery_setup_app"},
    "celery_setup_app": {"celery_setup_config"},
    "celery_setup_config": {"celery_worker_cluster_config"},
    "celery_setup_worker": {"default_worker_cls", "default_worker_container", "default_worker_app"},
    "celery_worker_cluster_config": {"celery_broker_cluster_config", "celery_backend_cluster_config"},
    "default_worker_app": {"celery_setup_app"},
    "default_worker_command": {"default_worker_container_cls"},
    "default_worker_env": {"default_worker_container_cls", "celery_worker_cluster_config"},
}

#: What each factory of pytest-docker-tools that we use calls on Docker; all but `get` (for --reuse-containers, which
#: we do not have) and `wait` (which is never reached, for `remove` returns None) is answered by tests/processes.
CALLS = {
    "container": {
        "docker_client": {"containers.get", "containers.run"},
        "raw_container": {"remove", "wait"},
    },
    "network": {
        "docker_client": {"networks.get", "networks.create"},
        "network": {"remove"},
    },
}


class PlainContainer(CeleryTestContainer):  # type: ignore[misc] # pytest-celery ships no types
    """Upstream's container as it is."""


@pytest.fixture
def container() -> CeleryTestContainer:
    """Upstream's container around one of ours."""
    engine = ProcessEngine(Guard(), {"image": StillProgram})
    network = engine.networks.create("net", labels={})
    return PlainContainer(
        engine.containers.run(
            image="image",
            command=["celery"],
            detach=True,
            environment={"NAME": "value"},
            labels={"creator": "this"},
            network=network.name,
        )
    )


def parameters(name: str) -> list[str]:
    return list(inspect.signature(resolve_name(name)).parameters)


@pytest.mark.parametrize("name", CALLABLES)
def test_callable_has_the_parameters_that_we_use(name: str) -> None:
    """We call or override it with these."""
    assert parameters(name) == CALLABLES[name]


@pytest.mark.parametrize("name", PROPERTIES)
def test_property_is_still_a_property(name: str) -> None:
    """We override it with another property or a plain value, or read it."""
    assert isinstance(resolve_name(name), property)


@pytest.mark.parametrize("name", FIXTURES)
def test_fixture_asks_for_those_that_we_override(name: str) -> None:
    """An override that nobody asks for any more would be ignored in silence."""
    assert FIXTURES[name] <= set(parameters(f"pytest_celery:{name}"))


@pytest.mark.parametrize("factory", CALLS)
def test_factory_calls_nothing_new_on_docker(factory: str) -> None:
    """What it calls is what our processes answer."""
    source = inspect.getsource(importlib.import_module(f"pytest_docker_tools.factories.{factory}"))
    # The rest of the module is for --reuse-containers.
    body = source.partition(f"def {factory}(")[2]

    called = {
        receiver: set(re.findall(rf"\b{receiver}\.([a-z_.]+)\(", body.replace(f"current.{receiver}", "")))
        for receiver in CALLS[factory]
    }

    assert called == CALLS[factory]


def test_wrapper_works_with_our_container(container: CeleryTestContainer) -> None:
    """Every call of it that a worker's test makes is answered."""
    assert container.ready()
    assert container.env == {"NAME": "value"}
    assert container.logs() == "started\n"
    assert container.name.startswith("image-")
    assert container.exec_run(["true"]).exit_code == 0
    container.restart(timeout=1)
    assert container.status == "running"
    container.kill(signal="SIGKILL")
    container.reload()
    assert container.status == "exited"


def test_wrapper_refuses_a_container_that_has_ended(container: CeleryTestContainer) -> None:
    """So a worker that dies at its start fails its test at once."""
    container.kill()

    with pytest.raises(ContainerFailed):
        container.ready()


def test_rabbitmq_is_awaited_by_its_inner_port() -> None:
    """`PortMap` and `get_open_tcp_ports` see the port inside, which our processes translate."""
    assert parameters("pytest_docker_tools.wrappers:Container.get_open_tcp_ports") == ["self"]
    assert "cat /proc/net/tcp /proc/net/tcp6" in inspect.getsource(
        resolve_name("pytest_docker_tools.wrappers:Container.get_open_tcp_ports")
    )


def test_worker_environment_names_the_broker_and_no_backend() -> None:
    """Results come over the broker, and the broker's address is in the variable that Celery prefers to settings."""
    config: dict[str, Any] = {
        "celery_broker_cluster_config": {"urls": ["amqp://here"]},
        "celery_backend_cluster_config": None,
    }

    environment = pytest_celery.CeleryWorkerContainer.initial_env(config)

    assert environment["CELERY_BROKER_URL"] == "amqp://here"
    assert "CELERY_RESULT_BACKEND" not in environment
    assert "PYTHONPATH" in environment


def test_missing_backends_fail_the_collection(pytestconfig: pytest.Config) -> None:
    """Without it pytest-celery skips each test whose fixture has nothing to offer, and the run exits with 0."""
    assert pytestconfig.getini("empty_parameter_set_mark") == "fail_at_collect"
