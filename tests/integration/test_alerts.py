"""A real fault, the /metrics of the real dashboard, and the rules of deploy/ as Prometheus evaluates them."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

import pytest
from kombu import Connection
from prometheus_client.parser import text_string_to_metric_families

from proj.lab.processes.flower import FlowerProcess
from proj.lab.processes.waiting import wait_until
from tests import promtool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from proj.lab.broker import Broker
    from proj.lab.processes.guard import Guard

pytestmark = pytest.mark.one_version

Scrape = dict[str, float]
READY, CONSUMERS = 'proj_queue_messages_ready{queue="nobodys"}', 'proj_queue_consumers{queue="nobodys"}'


def scrape(flower: FlowerProcess) -> Scrape:
    """The samples of our metrics, by their series."""
    with urllib.request.urlopen(f"{flower.url}/metrics", timeout=60) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    return {
        series_of(sample.name, sample.labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("proj_")
    }


def series_of(name: str, labels: Mapping[str, str]) -> str:
    """A series as promtool reads it."""
    return f"{name}{{{','.join(f'{label}={json.dumps(text)}' for label, text in labels.items())}}}"


def scraped(flower: FlowerProcess, condition: Callable[[Scrape], bool]) -> Scrape:
    """The first scrape for which that is so."""
    found: Scrape = {}

    def there() -> bool:
        found.update(scrape(flower))
        return condition(found)

    wait_until(there, what="the metrics", timeout_s=60)
    return found


def test_queue_that_nobody_consumes_raises_its_alert_and_no_other(
    guard: Guard, broker: Broker, vhost: str, tmp_path: Path
) -> None:
    """Within three minutes while it is as the dashboard said, and no more when it is empty."""
    promtool.needed()
    flower = FlowerProcess(guard, broker_url=broker.url(vhost), management_url=broker.management_url)
    with flower, Connection(broker.url(vhost)) as connection, connection.SimpleQueue("nobodys") as queue:
        flower.wait_until_ready(flower.answers, timeout_s=60)
        queue.consumer.cancel()
        for _ in range(3):
            queue.put("message")
        wrong = scraped(flower, lambda found: found.get(READY) == 3 and found[CONSUMERS] == 0)
        queue.queue.purge()
        right = scraped(flower, lambda found: found[READY] == 0)

    # Twelve scrapes of each, of which there is one in 15 s.
    series = {name: f"{value:g}x11 {right.get(name, value):g}x20" for name, value in wrong.items()}
    alert = ("CeleryNoConsumers", "nobodys")
    promtool.evaluate(tmp_path, series, [promtool.fired(90), promtool.fired(165, alert), promtool.fired(420)])
