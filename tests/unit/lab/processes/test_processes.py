"""Processes answer like Docker's containers, and refuse options that they would ignore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import APIError, ImageNotFound

from proj.lab.processes.guard import Guard
from tests.processes.engine import ProcessEngine, exit_code, signal_number
from tests.processes.images import BrokerProgram, WorkerProgram
from tests.processes.program import Definition
from tests.unit.lab.processes.still_program import StillProgram

if TYPE_CHECKING:
    from tests.processes.engine import Container


@pytest.fixture
def engine() -> ProcessEngine:
    """An engine with one image, whose guard is never started."""
    return ProcessEngine(Guard(), {"still": StillProgram})


def run(engine: ProcessEngine, image: str = "still", **options: Any) -> Container:
    """Run a container with the options that pytest-docker-tools always gives."""
    return engine.containers.run(
        image, **{"detach": True, "environment": {}, "labels": {}, "network": "net", **options}
    )


def test_option_without_counterpart_is_refused(engine: ProcessEngine) -> None:
    """A test that needs a limit or a mount must fail on processes instead of passing without it."""
    with pytest.raises(TypeError, match="mem_limit"):
        run(engine, mem_limit="64m")


@pytest.mark.parametrize("binding", [None, 25672, "any", ("0.0.0.0", 25672), ("127.0.0.1", None)])  # noqa: S104 refused
def test_port_that_is_not_pinned_on_loopback_is_refused(engine: ProcessEngine, binding: object) -> None:
    """A random port would change at a restart, and a port on every address would be open to the network."""
    with pytest.raises(TypeError, match="5672/tcp must be published"):
        run(engine, ports={"5672/tcp": binding})


def test_image_without_a_program_is_refused(engine: ProcessEngine) -> None:
    """As Docker refuses an image that it does not have."""
    with pytest.raises(ImageNotFound, match="redis"):
        run(engine, image="redis")


@pytest.mark.parametrize(
    ("program", "options"),
    [
        (WorkerProgram, {"command": ["bash"]}),
        (WorkerProgram, {"command": []}),
        (WorkerProgram, {"command": ["celery"], "ports": {"5555/tcp": 5555}}),
        (BrokerProgram, {"environment": {"RABBITMQ_DEFAULT_USER": "guest", "RABBITMQ_DEFAULT_PASS": "guest"}}),
        (BrokerProgram, {"environment": {"RABBITMQ_DEFAULT_USER": "proj", "RABBITMQ_DEFAULT_PASS": "x", "OTHER": "y"}}),
        (BrokerProgram, {"environment": {"RABBITMQ_DEFAULT_USER": "proj", "RABBITMQ_DEFAULT_PASS": "x"}}),
    ],
)
def test_program_refuses_options_that_only_its_image_knows(
    program: type[WorkerProgram | BrokerProgram], options: dict[str, Any]
) -> None:
    """A command, port or variable is used or refused, never ignored."""
    asked = {"command": [], "environment": {}, "ports": {}, **options}

    with pytest.raises(TypeError, match="image"):
        program(Guard(), Definition(id="0" * 64, image="some", labels={}, network="net", **asked))


def test_status_is_that_of_the_last_reload(engine: ProcessEngine) -> None:
    """As docker-py's, so that a test that forgets to reload fails on both."""
    container = run(engine)

    container.kill()

    assert container.status == "running"
    container.reload()
    assert container.status == "exited"
    assert container.attrs["State"]["ExitCode"] == 137


def test_ended_container_refuses_signals_and_commands(engine: ProcessEngine) -> None:
    """As Docker does."""
    container = run(engine)
    container.kill()

    with pytest.raises(APIError, match="not running"):
        container.kill()
    with pytest.raises(APIError, match="not running"):
        container.exec_run("true")


def test_restart_keeps_the_log(engine: ProcessEngine) -> None:
    """As Docker does."""
    container = run(engine)

    container.restart(timeout=1)

    container.reload()
    assert (container.status, container.logs()) == ("running", b"started\nstarted\n")


def test_running_container_is_removed_only_by_force(engine: ProcessEngine) -> None:
    """As in Docker."""
    container = run(engine)

    with pytest.raises(APIError, match="runs"):
        container.remove()
    container.remove(force=True)

    container.reload()
    assert container.status == "exited"


@pytest.mark.parametrize(("name", "number"), [(None, 9), ("SIGTERM", 15), ("TERM", 15), (2, 2)])
def test_signal_is_known_by_each_of_its_names(name: str | int | None, number: int) -> None:
    """The ways in which docker-py and pytest-celery name one."""
    assert signal_number(name) == number


@pytest.mark.parametrize(("returncode", "code"), [(None, 0), (0, 0), (1, 1), (-9, 137), (-15, 143)])
def test_exit_code_is_dockers(returncode: int | None, code: int) -> None:
    """A killed process has 128 and the signal's number."""
    assert exit_code(returncode) == code
