"""deploy/kubernetes: a worker, its probe and what KEDA's scaler reads, on a real broker, each as its own user."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import pytest

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready
from tests.unit.kubernetes.manifests import container, of_kind, words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

(TRIGGER,) = of_kind("ScaledObject")["worker"]["spec"]["triggers"]


@pytest.fixture
def user_of(broker: Broker, vhost: str) -> Iterator[Callable[[str], dict[str, str]]]:
    """Makes a user with the tags and the permissions of the manifests; returns the variables that it exports."""
    made = []

    def make(name: str) -> dict[str, str]:
        user, password = f"{name}-{vhost}", secrets.token_hex(8)
        tags = of_kind("User")[name]["spec"].get("tags", [])
        broker.management.request("PUT", f"users/{user}", {"password": password, "tags": ",".join(tags)})
        made.append(user)
        broker.management.request(
            "PUT", f"permissions/{vhost}/{user}", of_kind("Permission")[name]["spec"]["permissions"]
        )
        login = f"{user}:{password}@127.0.0.1"
        return {
            "CELERY_BROKER_URL": f"amqp://{login}:{broker.port}/{quote(vhost, safe='')}",
            "FLOWER_BROKER_API": f"http://{login}:{broker.management_port}/api/",
        }

    yield make
    for user in made:
        broker.management.request("DELETE", f"users/{user}")


def counted(api: str, vhost: str, queue: str) -> dict[str, int]:
    """The figures that KEDA's scaler reads of a queue.

    Source: https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/rabbitmq_scaler.go (getQueueInfoViaHTTP)
    """
    parts = urlsplit(api)
    login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}/api/queues/{quote(vhost, safe='')}/{queue}",
        headers={"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        found = json.load(answer)
    return {name: found.get(name, 0) for name in ("messages", "messages_ready", "messages_unacknowledged")}


def test_pod_runs_tasks_passes_its_probe_and_its_unacknowledged_messages_are_counted(
    guard: Guard,
    vhost: str,
    celery: Celery,
    user_of: Callable[[str], dict[str, str]],
    tmp_path: Path,
) -> None:
    """KEDA counts ready and unacknowledged messages over the management API; AMQP would count the ready ones only."""
    found: dict[str, Any] = container("worker")
    slots = int(TRIGGER["metadata"]["value"])
    pod = {
        **{each["name"]: each["value"] for each in found["env"] if "value" in each},
        **user_of("worker"),
        "POD_NAME": f"worker-{vhost}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    worker = Process(
        "pod",
        [sys.executable, "-m", *(word.replace("$(POD_NAME)", pod["POD_NAME"]) for word in words("worker"))],
        guard=guard,
        environment=child_environment(**pod),
        log=tmp_path / "pod.log",
    )
    api = user_of("keda")["FLOWER_BROKER_API"]
    with worker:
        wait_until_ready(worker)
        celery("-A", "proj", "send", *["long" + 60 * "."] * slots, "waits.", **user_of("publisher"))
        there = {"messages": slots + 1, "messages_ready": 1, "messages_unacknowledged": slots}
        queue = TRIGGER["metadata"]["queueName"]
        wait_until(lambda: counted(api, vhost, queue) == there, what="all to be counted", timeout_s=60)

        probe = subprocess.run(
            found["livenessProbe"]["exec"]["command"],
            env=child_environment(**pod),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=found["livenessProbe"]["timeoutSeconds"],
            check=False,
        )
        worker.kill()

    assert probe.returncode == 0, probe.stdout + probe.stderr
    assert f"fair@{pod['POD_NAME']}" in probe.stdout
    assert "refused" not in worker.log_text().lower()
