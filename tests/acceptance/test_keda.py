"""deploy/keda.yml: its worker, its probe and what its scaler reads, on a real broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import yaml

from proj.lab.processes.environment import child_environment
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until
from tests.processes.worker import wait_until_ready

if TYPE_CHECKING:
    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

    from .conftest import Celery

FILE = Path(__file__).parents[2] / "deploy" / "keda.yml"
MANIFEST: dict[str, Any] = {document["kind"]: document for document in yaml.safe_load_all(FILE.read_text())}
(CONTAINER,) = MANIFEST["Deployment"]["spec"]["template"]["spec"]["containers"]
(TRIGGER,) = MANIFEST["ScaledObject"]["spec"]["triggers"]


def counted(address: str, queue: str) -> dict[str, int]:
    """The figures that KEDA's scaler reads of a queue, in the virtual host that its address ends with.

    Source: https://github.com/kedacore/keda/blob/main/pkg/scalers/rabbitmq_scaler.go (getQueueInfoViaHTTP)
    """
    parts = urlsplit(address)
    login = b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    request = urllib.request.Request(
        f"http://{parts.hostname}:{parts.port}/api/queues{parts.path}/{queue}",
        headers={"Authorization": f"Basic {login}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        found = json.load(answer)
    return {name: found.get(name, 0) for name in ("messages", "messages_ready", "messages_unacknowledged")}


def test_pod_runs_tasks_passes_its_probe_and_its_unacknowledged_messages_are_counted(
    guard: Guard, broker: Broker, vhost: str, variables: dict[str, str], celery: Celery, tmp_path: Path
) -> None:
    """KEDA counts ready and unacknowledged messages over the management API; AMQP would count the ready ones only."""
    slots = int(TRIGGER["metadata"]["value"])
    pod = {
        **{each["name"]: each["value"] for each in CONTAINER["env"] if "value" in each},
        **variables,
        "POD_NAME": f"proj-worker-{vhost}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    words = [*CONTAINER["command"], *CONTAINER["args"]]
    worker = Process(
        "pod",
        [sys.executable, "-m", *(word.replace("$(POD_NAME)", pod["POD_NAME"]) for word in words)],
        guard=guard,
        environment=child_environment(**pod),
        log=tmp_path / "pod.log",
    )
    address = broker.management_url.replace("/api/", f"/{quote(vhost, safe='')}")
    with worker:
        wait_until_ready(worker)
        celery("-A", "proj", "send", *["long" + 60 * "."] * slots, "waits.", **variables)
        there = {"messages": slots + 1, "messages_ready": 1, "messages_unacknowledged": slots}
        queue = TRIGGER["metadata"]["queueName"]
        wait_until(lambda: counted(address, queue) == there, what="all to be counted", timeout_s=20)

        probe = subprocess.run(
            CONTAINER["livenessProbe"]["exec"]["command"],
            env=child_environment(**pod),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=CONTAINER["livenessProbe"]["timeoutSeconds"],
            check=False,
        )
        worker.kill()

    assert probe.returncode == 0, probe.stdout + probe.stderr
    assert f"fair@{pod['POD_NAME']}" in probe.stdout
