"""deploy/grafana.json and deploy/prometheus.yml use the metrics and labels that the dashboard exports."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from proj.broker.queue_depths import Depth
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
from proj.queues import DEAD_LETTERS
from tests import promtool
from tests.promtool import DEPLOY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Names of PromQL itself that stand where a metric or label could.
PROMQL = {"by", "sum", "max", "rate", "increase", "histogram_quantile"}

WORKER = WorkerStatus(name="w@h", slots=1, busy_slots=1, held=1, tasks=1, busy_s=1.0, alive=True)
ADAPTIVE = replace(WORKER, name="a@h", window=8, in_advance=2, given_back=1)
GROUP = GroupStatus(
    name="q · fair",
    queue="q",
    dispatch="fair",
    workers=(WORKER, ADAPTIVE),
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
DEPTH = Depth(name="q", type="quorum", ready=1, unacknowledged=1, consumers=1)
STARTED = StartedAttempt(queue="q", worker="w@h", dispatch="fair", broker_wait_s=1.0, held_s=1.0, avoidable_wait_s=1.0)


def exported() -> dict[str, set[str]]:
    """The labels of every sample that the dashboard exports, by the sample's name."""
    readings = Readings(
        groups=(GROUP,),
        queues=(QUEUE,),
        events=EVENTS,
        depths={"q": DEPTH, DEAD_LETTERS: replace(DEPTH, name=DEAD_LETTERS)},
        oldest_s={"q": 1.0},
        results_lost={"w@h": 1},
        broker_answers=True,
        broker_alarm=False,
    )
    collector = DispatchCollector(lambda: readings)
    collector.observe([STARTED])
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
def test_expression_uses_exported_metrics_and_labels(target: dict[str, Any]) -> None:
    """A metric that is renamed in the code must not leave an empty panel."""
    expression = target["expr"]

    (metric,) = metrics_of(expression)
    grouped = {name for names in re.findall(r"by \(([^)]*)\)", expression) for name in re.split(r", *", names)}
    shown = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))

    assert metric in EXPORTED
    assert grouped <= EXPORTED[metric]
    assert shown <= grouped


@pytest.mark.parametrize("target", TARGETS)
def test_expression_uses_known_functions_as_they_are_meant(target: dict[str, Any]) -> None:
    """A counter has a rate, a gauge has none, and a quantile is computed from buckets by their bounds."""
    expression = target["expr"]
    (metric,) = metrics_of(expression)

    words = set(re.findall(r"[a-z_]+", expression.replace("$__rate_interval", ""))) - metrics_of(expression)

    assert words - PROMQL - EXPORTED[metric] == set()
    assert expression.count("(") == expression.count(")")
    assert ("$__rate_interval" in expression) == metric.endswith(("_total", "_sum", "_bucket"))
    assert ("histogram_quantile" in expression and " le)" in expression) == metric.endswith("_bucket")


def test_every_exported_metric_is_drawn() -> None:
    """A metric without a panel need not be exported. Of a histogram, one part is enough."""
    drawn = {metric for panel in PANELS for target in panel["targets"] for metric in metrics_of(target["expr"])}

    families = {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in EXPORTED}

    assert families == {re.sub(r"_(bucket|sum|count)$", "", metric) for metric in drawn}


def test_prometheus_accepts_the_expression_of_every_panel(tmp_path: Path) -> None:
    """With an interval in place of Grafana's variable."""
    expressions = [target["expr"] for panel in PANELS for target in panel["targets"]]
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m")}
        for number, expression in enumerate(expressions)
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(
        [promtool.needed(), "check", "rules", "rules.yml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(expressions)} rules found" in done.stdout


def test_dashboard_follows_the_schema_of_grafana() -> None:
    """Grafana's own types read every field, and write it again as it was, so none is unknown or of another type."""
    encoder = pytest.importorskip("grafana_foundation_sdk.cog.encoder", reason="it needs Python 3.11")
    plugins = pytest.importorskip("grafana_foundation_sdk.cog.plugins")
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    plugins.register_default_plugins()

    written = json.loads(encoder.JSONEncoder().encode(models.Dashboard.from_json(GRAFANA)))

    # What only the import of a dashboard reads.
    assert set(differences({**GRAFANA, "__requires": None}, {**written, "__requires": None})) == set()


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """The places at which something of the first is not so in the other, which may have more."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name, value in one.items():
            yield from differences(value, other.get(name), f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (value, theirs) in enumerate(zip(one, other, strict=True)):
            yield from differences(value, theirs, f"{path}[{number}]")
    elif one != other:
        yield f"{path}: {one!r} became {other!r}"


def test_panels_have_different_ids_and_places() -> None:
    """Of two panels with one id or place, Grafana shows only one."""
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


def test_data_source_is_chosen_by_the_user() -> None:
    """The dashboard can be imported anywhere, because it contains no host and no id of a Grafana."""
    (variable,) = GRAFANA["templating"]["list"]
    sources = [panel["datasource"] for panel in PANELS]
    sources += [target["datasource"] for panel in PANELS for target in panel["targets"]]

    assert (variable["name"], variable["type"], variable["query"]) == ("DS_PROMETHEUS", "datasource", "prometheus")
    assert all(source == {"type": "prometheus", "uid": "${DS_PROMETHEUS}"} for source in sources)
    assert "://" not in json.dumps(GRAFANA)
    assert "id" not in GRAFANA


def test_panels_have_a_title_and_a_description() -> None:
    """Each has its own title, and its description is a sentence."""
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert all(panel["description"].endswith(".") for panel in PANELS)


def test_prometheus_scrapes_the_service_of_the_compose_file() -> None:
    """With its name and its port."""
    scrapes = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    services = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())["services"]

    (target,) = scrapes[0]["static_configs"][0]["targets"]
    host, _, port = target.partition(":")

    assert f"--port={port}" in services[host]["command"]
