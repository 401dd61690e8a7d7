"""The main job on three nodes with TLS, by users who may do no more than their roles, and nothing is declared."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from proj.lab.cluster import Cluster
from proj.lab.processes.environment import child_environment
from proj.lab.processes.guard import Guard
from proj.lab.processes.process import Process
from proj.lab.processes.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.conftest import Celery

TIMEOUT_S = 90
VHOST, PASSWORD = "secured", "secret"
#: Our app, as a team sets it up whose platform makes the queues.
APP = """
from proj.celery import app

app.conf.proj_declare = False
"""


class Team(NamedTuple):
    """A cluster on which a platform team has made what the app needs, and a user for each role."""

    cluster: Cluster
    folder: Path

    def variables(self, role: str) -> dict[str, str]:
        """What the user of this role exports."""
        login = f"proj-{role}:{PASSWORD}@"
        certificates = self.cluster.certificates
        assert certificates is not None
        return {
            "CELERY_BROKER_URL": self.cluster.url(VHOST).replace(f"proj:{self.cluster.password}@", login),
            "FLOWER_BROKER_API": self.cluster.management_url.replace(f"proj:{self.cluster.password}@", login),
            "PROJ_BROKER_CA": str(certificates.ca),
            "PROJ_BROKER_CERTIFICATE": str(certificates.client),
            "CELERY_RESULT_BACKEND": f"file://{self.folder}/results",
            "PROJ_DOT_SECONDS": "0.1",
            "PYTHONPATH": str(self.folder),
        }

    def worker(self, name: str, guard: Guard) -> Process:
        """A worker of the app, started by its user."""
        return Process(
            name,
            [
                *(sys.executable, "-m", "celery", "-A", "secured", "worker", "--hostname", f"{name}@host"),
                *("--concurrency", "1", "--loglevel", "INFO"),
            ],
            guard=guard,
            environment=child_environment(**self.variables("worker")),
            log=self.folder / f"{name}.log",
        )


@pytest.fixture
def team(celery: Celery, tmp_path: Path) -> Iterator[Team]:
    """What a platform team does, with the files that `queues topology` prints."""
    (tmp_path / "secured.py").write_text(APP)
    (tmp_path / "results").mkdir()
    with Guard() as guard, Cluster(guard, tls="mutual") as cluster:
        request, team = cluster.management.request, Team(cluster, tmp_path)

        def printed(*words: str) -> Any:
            done = celery("-A", "secured", "queues", "topology", *words, **team.variables("platform"))
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        # First: RabbitMQ 3.10 has answered with an error while the virtual host of the file was starting.
        request("PUT", f"vhosts/{VHOST}", {})
        request("POST", "definitions", printed("--definitions"))
        for role in printed("--roles", "--json")["roles"]:
            request("PUT", f"users/{role['user']}", {"password": PASSWORD, "tags": role["tags"]})
        request("POST", "definitions", printed("--roles", "--definitions"))
        yield team


@pytest.mark.timeout(300)
def test_tasks_are_run_and_dead_letters_kept_over_tls_by_the_least_rights_while_a_node_dies(
    team: Team, celery: Celery
) -> None:
    """Every result comes, and the task that cannot be run is a dead letter, which an operator reads."""

    def results() -> list[Any]:
        found = [json.loads(path.read_text()) for path in (team.folder / "results").iterdir()]
        return sorted(each["result"]["message"] for each in found if each["status"] == "SUCCESS")

    def publish(*words: str) -> None:
        done = celery("-A", "secured", *words, **team.variables("publisher"))
        assert done.returncode == 0, done.stderr

    with Guard() as guard, team.worker("w1", guard) as first, team.worker("w2", guard) as second:
        for worker in (first, second):
            worker.wait_until_ready(lambda worker=worker: " ready." in worker.log_text(), timeout_s=TIMEOUT_S)
        publish("call", "proj.tasks.work", "--args", '["hello..."]')
        wait_until(lambda: results() == ["hello..."], what="the first result", timeout_s=TIMEOUT_S)
        team.cluster.nodes[0].kill()
        publish("call", "proj.tasks.work", "--args", '["hello.."]')
        publish("call", "nobody.knows")
        publish("send", "hello.")
        wait_until(lambda: len(results()) == 2, what="the second result", timeout_s=TIMEOUT_S)
        wait_until(
            lambda: "[x] Received 'hello.'" in first.log_text() + second.log_text(), what="it", timeout_s=TIMEOUT_S
        )
        wait_until(
            lambda: "nobody.knows" in first.log_text() + second.log_text(), what="the letter", timeout_s=TIMEOUT_S
        )
        dead = celery("-A", "secured", "queues", "dead", "--json", **team.variables("operator"))

    assert results() == ["hello..", "hello..."]
    assert [json.loads(line)["task"] for line in dead.stdout.splitlines()] == ["nobody.knows"], dead.stderr
