"""The broker's configuration in `docker-compose.yml`, loaded into a real broker."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from proj.lab.broker import Broker
from proj.lab.definitions import USER, packaged_definitions
from proj.lab.processes.guard import Guard
from proj.lab.rabbitmq import installation
from proj.queues import DEAD_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.one_version

ROOT = Path(__file__).parents[2]
DEFINITIONS = "/etc/rabbitmq/definitions.json"
#: The password of the user in the definitions.
PASSWORD = "proj"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker with the lines of `deploy/rabbitmq.conf`, and the definitions that they name."""
    lines = (ROOT / "deploy" / "rabbitmq.conf").read_text().splitlines()
    settings = dict(line.split(" = ", 1) for line in lines if line and not line.startswith("#"))
    assert settings["load_definitions"] == DEFINITIONS
    settings["load_definitions"] = str(ROOT / "proj" / "lab" / "definitions.json")
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "password").write_text(PASSWORD)
    with Guard() as guard, Broker(guard, folder=folder, settings=settings) as broker:
        yield broker


def test_configuration_of_compose_gives_the_user_the_policies_and_the_dead_letters(deployed: Broker) -> None:
    """The broker takes every key of the files, and has what they define."""
    asked = {
        (policy["name"], policy["apply-to"]): policy["definition"] for policy in packaged_definitions()["policies"]
    }

    policies = deployed.management.request("GET", "policies")
    queue = deployed.management.request("GET", f"queues/%2F/{DEAD_LETTERS}?columns=name,type,durable")
    users = deployed.management.request("GET", "users?columns=name")

    assert {(policy["name"], policy["apply-to"]): policy["definition"] for policy in policies} == asked
    assert queue == {"name": DEAD_LETTERS, "type": "quorum", "durable": True}
    assert [user["name"] for user in users] == [USER]


def test_health_check_of_compose_passes_on_a_broker_that_runs(deployed: Broker) -> None:
    """Workers wait for it."""
    composition = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    (word, program, *arguments) = composition["services"]["rabbitmq"]["healthcheck"]["test"]
    assert word == "CMD"

    checked = subprocess.run(
        [str(Path(installation().ctl).with_name(program)), *arguments],
        env=deployed._environment,  # noqa: SLF001 with which `rabbitmqctl` finds this node
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert checked.returncode == 0, checked.stdout + checked.stderr
