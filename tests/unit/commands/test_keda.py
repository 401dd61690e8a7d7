"""What deploy/keda.yml promises, and what it shares with the rest."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from celery.bin.worker import worker

from proj import queues
from proj.commands.health import health

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    documents = yaml.safe_load_all((ROOT / "deploy" / "keda.yml").read_text())
    return {document["kind"]: document for document in documents}


@pytest.fixture(scope="module")
def pod(manifest: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = manifest["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["containers"]
    found: dict[str, Any] = container
    return found


@pytest.fixture(scope="module")
def trigger(manifest: dict[str, Any]) -> dict[str, Any]:
    (trigger,) = manifest["ScaledObject"]["spec"]["triggers"]
    found: dict[str, Any] = trigger
    return found


def option(container: dict[str, Any], name: str) -> str:
    arguments: list[str] = container["args"]
    return arguments[arguments.index(name) + 1]


def test_scaler_counts_what_is_ready_and_what_is_in_hand(trigger: dict[str, Any]) -> None:
    """AMQP counts what is ready alone: workers that have everything in hand would be taken away."""
    metadata = trigger["metadata"]

    assert trigger["type"] == "rabbitmq"
    assert (metadata["protocol"], metadata["mode"]) == ("http", "QueueLength")
    assert metadata["excludeUnacknowledged"] == "false"


def test_scaler_looks_at_the_queue_of_the_workers_and_counts_by_their_slots(
    trigger: dict[str, Any], container: dict[str, Any]
) -> None:
    """Two places in the file, one value; KEDA takes strings alone."""
    assert trigger["metadata"]["queueName"] == option(container, "--queues") == queues.WORK_QUEUE
    assert trigger["metadata"]["value"] == option(container, "--concurrency")
    assert all(isinstance(value, str) for value in trigger["metadata"].values())


def test_scaled_object_scales_the_deployment_and_alone(manifest: dict[str, Any]) -> None:
    """A number of replicas in the deployment would undo the scaling with each `kubectl apply`."""
    scaled = manifest["ScaledObject"]["spec"]

    assert scaled["scaleTargetRef"]["name"] == manifest["Deployment"]["metadata"]["name"]
    assert "replicas" not in manifest["Deployment"]["spec"]
    assert 0 <= scaled["minReplicaCount"] < scaled["maxReplicaCount"]


def test_password_is_in_the_secret_alone(manifest: dict[str, Any], container: dict[str, Any]) -> None:
    """Everything else names its keys, which are there."""
    (secret,) = [document for kind, document in manifest.items() if kind == "Secret"]
    others = [document for kind, document in manifest.items() if kind != "Secret"]
    keys = [each["valueFrom"]["secretKeyRef"]["key"] for each in container["env"] if "secretKeyRef" in str(each)]
    (reference,) = manifest["TriggerAuthentication"]["spec"]["secretTargetRef"]

    assert {*keys, reference["key"]} == secret["stringData"].keys()
    assert reference["parameter"] == "host"
    assert "://" not in yaml.safe_dump(others)


def test_addresses_have_the_form_that_their_readers_take(manifest: dict[str, Any]) -> None:
    """KEDA takes the virtual host as the path and adds api/ itself; our commands have api/ in theirs."""
    addresses = {name: urlsplit(url) for name, url in manifest["Secret"]["stringData"].items()}

    assert addresses["amqp"].scheme == "amqp"
    assert (addresses["api"].scheme, addresses["api"].path) == ("http", "/api/")
    assert (addresses["keda"].scheme, unquote(addresses["keda"].path)) == ("http", "//")
    assert addresses["keda"].port == addresses["api"].port == 15672


def test_worker_gets_the_signal_itself_and_time_to_finish(pod: dict[str, Any], container: dict[str, Any]) -> None:
    """SIGTERM is the warm shutdown: no shell before it, no hook that delays it, and more than the usual 30 s."""
    assert container["command"][0] == "celery"
    assert "lifecycle" not in container
    assert pod["terminationGracePeriodSeconds"] > 30


def test_command_line_of_the_worker_is_celerys(container: dict[str, Any]) -> None:
    """Every option is one that it knows; the name is the pod's, which no other has."""
    assert container["command"][:4] == ["celery", "-A", "proj", "worker"]

    words = [*container["command"][4:], *container["args"]]
    parsed = worker.make_parser(context_of(worker)).parse_args(words)

    assert parsed[1] == []
    assert "$(POD_NAME)" in option(container, "--hostname")
    assert "POD_NAME" in {each["name"] for each in container["env"]}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probe_asks_our_health_command_for_the_worker_of_its_pod(container: dict[str, Any], probe: str) -> None:
    """It asks for the name that the worker was given, and may take as long as it waits for an answer."""
    shell, flag, line = container[probe]["exec"]["command"]
    words = shlex.split(line.removeprefix("exec "))

    assert (shell, flag, words[:4]) == ("sh", "-c", ["celery", "-A", "proj", "health"])
    parsed, rest, _order = health.make_parser(context_of(health)).parse_args(words[4:])
    assert rest == []
    assert parsed["worker"] == re.sub(r"\$\((\w+)\)", r"$\1", option(container, "--hostname"))
    assert container[probe]["timeoutSeconds"] > 2 * float(parsed["timeout"])


def context_of(command: Any) -> Any:
    return command.context_class(command)
