"""deploy/grafana.json and deploy/prometheus.yml: they ask for what the dashboard exports."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proj.dashboard.live.status import (
    BrokerCount,
    EventCount,
    EventCounts,
    GroupStatus,
    LostEvents,
    QueueStatus,
    Readings,
    StartedAttempt,
    WorkerStatus,
)
from proj.dashboard.prometheus.collector import DispatchCollector

DEPLOY = Path(__file__).parents[4] / "deploy"
#: Names of PromQL itself that stand where a metric or label could.
PROMQL = {"by", "sum", "max", "rate", "increase", "histogram_quantile"}

WORKER = WorkerStatus(name="w@h", slots=1, busy_slots=1, held=1, tasks=1, busy_s=1.0, alive=True)
GROUP = GroupStatus(
    name="q · fair",
    queue="q",
    dispatch="fair",
    workers=(WORKER,),
    slots=1,
    busy_slots=1,
    held=1,
    tasks=1,
    busy_s=1.0,
)
QUEUE = QueueStatus(
    queue="q",
    type="quorum",
    broker=BrokerCount(ready=1, unacknowledged=1, consumers=1, windows=(), age_s=1.0),
    events=EventCount(ready=1, unacknowledged=1),
    explanation=None,
)
EVENTS = EventCounts(heard=1, refused=1, dropped=1, lost=1, lost_by_worker=(LostEvents(worker="w@h", lost=1),))
SETTLED = StartedAttempt(queue="q", worker="w@h", dispatch="fair", broker_wait_s=1.0, held_s=1.0, avoidable_wait_s=1.0)


def exported() -> dict[str, set[str]]:
    """The labels of every sample that the dashboard exports, by its name."""
    collector = DispatchCollector(lambda: Readings(groups=(GROUP,), queues=(QUEUE,), events=EVENTS))
    collector.observe([SETTLED])
    registry = CollectorRegistry()
    registry.register(collector)
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    return labels


EXPORTED = exported()
GRAFANA = json.loads((DEPLOY / "grafana.json").read_text())
PANELS: list[dict[str, Any]] = GRAFANA["panels"]
TARGETS = [
    pytest.param(target, id=f"{panel['title']} {target['refId']}") for panel in PANELS for target in panel["targets"]
]


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\bproj_\w+", expression))


@pytest.mark.parametrize("target", TARGETS)
def test_expression_asks_for_metrics_and_labels_that_are_exported(target: dict[str, Any]) -> None:
    """A metric that is renamed in the code leaves no empty panel behind."""
    expression = target["expr"]

    (metric,) = metrics_of(expression)
    grouped = {name for names in re.findall(r"by \(([^)]*)\)", expression) for name in re.split(r", *", names)}
    shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))

    assert metric in EXPORTED
    assert grouped <= EXPORTED[metric]
    assert shown <= grouped


@pytest.mark.parametrize("target", TARGETS)
def test_expression_is_made_of_words_that_we_know(target: dict[str, Any]) -> None:
    """A counter is asked for its rate, a gauge is not, and a quantile is taken of buckets by their bounds."""
    expression = target["expr"]
    (metric,) = metrics_of(expression)

    words = set(re.findall(r"[a-z_]+", expression.replace("$__rate_interval", ""))) - metrics_of(expression)

    assert words - PROMQL - EXPORTED[metric] == set()
    assert expression.count("(") == expression.count(")")
    assert ("$__rate_interval" in expression) == metric.endswith(("_total", "_sum", "_bucket"))
    assert ("histogram_quantile" in expression and " le)" in expression) == metric.endswith("_bucket")


def test_every_exported_metric_is_drawn() -> None:
    """What nobody looks at need not be exported; of a histogram, some part must be."""
    drawn = {metric for panel in PANELS for target in panel["targets"] for metric in metrics_of(target["expr"])}

    families = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in EXPORTED}

    assert families == {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in drawn}


def test_panels_have_an_id_and_a_place_of_their_own() -> None:
    """Grafana would silently show one panel for two."""
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)


def test_dashboard_reads_the_data_source_that_its_reader_chooses() -> None:
    """It can be imported anywhere: no host, no id of somebody's Grafana."""
    (variable,) = GRAFANA["templating"]["list"]
    sources = [panel["datasource"] for panel in PANELS]
    sources += [target["datasource"] for panel in PANELS for target in panel["targets"]]

    assert (variable["name"], variable["type"], variable["query"]) == ("DS_PROMETHEUS", "datasource", "prometheus")
    assert all(source == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"} for source in sources)
    assert "://" not in json.dumps(GRAFANA)
    assert "id" not in GRAFANA


def test_panels_say_what_they_show() -> None:
    """A title of its own and a sentence for each."""
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_prometheus_asks_the_service_that_compose_has() -> None:
    """The name and the port are those of the compose file."""
    scrapes = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]

    (target,) = scrapes[0]["static_configs"][0]["targets"]
    host, _, port = target.partition(":")

    assert f"--port={port}" in services[host]["command"]
