"""What docker-compose.yml promises and what it shares with the lab."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proj import queues
from proj.lab.definitions import packaged_definitions

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    composition = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = composition["services"]
    return services


def test_compose_publishes_on_loopback_only(services: dict[str, Any]) -> None:
    """The broker's password is in a public file, so no other machine may reach it."""
    published = [port for service in services.values() for port in service.get("ports", [])]

    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_compose_broker_loads_the_policies_of_the_lab(services: dict[str, Any]) -> None:
    """Both load one file."""
    volumes = services["rabbitmq"]["volumes"]
    configuration = (ROOT / "deploy" / "rabbitmq.conf").read_text()

    assert "./proj/lab/definitions.json:/etc/rabbitmq/definitions.json:ro" in volumes
    assert "./deploy/rabbitmq.conf:/etc/rabbitmq/conf.d/20-proj.conf:ro" in volumes
    assert "load_definitions = /etc/rabbitmq/definitions.json" in configuration


def test_compose_dashboard_answers_under_the_name_that_prometheus_asks_for(services: dict[str, Any]) -> None:
    """It refuses requests for all other host names but loopback's, also for /metrics."""
    configuration = yaml.safe_load((ROOT / "deploy" / "prometheus.yml").read_text())
    (name, port) = configuration["scrape_configs"][0]["static_configs"][0]["targets"][0].split(":")

    command = services[name]["command"].split()
    assert {"dashboard", f"--port={port}", f"--allowed_hosts={name}"} <= set(command)


def test_compose_workers_can_be_scaled(services: dict[str, Any]) -> None:
    """They have no fixed container name or published port, and their node names differ."""
    for name in ("worker-adaptive", "worker-fair", "worker-round-robin"):
        assert not {"container_name", "ports"} & services[name].keys()
        assert "@%h" in services[name]["command"]


def test_policies_cover_every_queue_of_work_and_lead_to_the_dead_letters() -> None:
    """A message over its delivery limit is dead-lettered; also from stages of a pipeline and from quarantine."""
    definitions = packaged_definitions()
    of_work = [queues.WORK_QUEUE, queues.UPPERCASE_QUEUE, queues.PRINT_QUEUE]
    for policy in definitions["policies"]:
        if policy["name"] in ("work", "work_classic"):
            held = [name for name in of_work if re.search(policy["pattern"], name)]
            suspects = [name for name in of_work if re.search(policy["pattern"], f"{name}.suspects")]

            assert held == suspects == of_work
            assert not re.search(policy["pattern"], "uppercase")
            assert policy["definition"]["dead-letter-exchange"] == queues.DEAD_LETTERS
    assert [queue["name"] for queue in definitions["queues"]] == [queues.DEAD_LETTERS]
    assert [binding["source"] for binding in definitions["bindings"]] == [queues.DEAD_LETTERS]
