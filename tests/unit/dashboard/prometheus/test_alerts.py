"""deploy/prometheus-alerts.yml uses metrics that the dashboard exports, and each alert has its section in the docs."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests import promtool
from tests.promtool import DEPLOY
from tests.unit.dashboard.prometheus.test_grafana import EXPORTED, metrics_of

#: Names of PromQL itself that stand where a metric or label could.
PROMQL = {
    *(
        "by",
        "sum",
        "rate",
        "increase",
        "min_over_time",
        "max_over_time",
        "last_over_time",
        "and",
        "or",
        "on",
        "unless",
        "offset",
    ),
    *("m", "h"),
}
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus-alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in RULES])
def test_alert_uses_exported_metrics_and_labels(rule: dict[str, Any]) -> None:
    """A metric that is renamed in the code must not leave an alert that never comes."""
    expression = rule["expr"]
    metrics = metrics_of(expression)

    words = set(re.findall(r"[a-z_]+", expression)) - metrics
    labels = set().union(*(EXPORTED[metric] for metric in metrics))
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))

    assert metrics
    assert metrics <= EXPORTED.keys()
    assert words - PROMQL <= labels
    assert shown <= labels
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule["alert"]) for rule in RULES])
def test_alert_has_a_section_that_says_what_to_do(rule: dict[str, Any]) -> None:
    """At the place that its runbook names: what it means, how to see it, and what to do."""
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    sections = re.split(r"^## ", (DEPLOY.parent / page).read_text(), flags=re.MULTILINE)

    (section,) = [section for section in sections if section.splitlines()[0].lower() == anchor]

    assert anchor == rule["alert"].lower()
    assert "- See:" in section
    assert "- Do:" in section


def test_every_alert_has_a_scene_in_which_it_comes_and_stays_away_in_the_quiet_one() -> None:
    """So that `promtool test rules` tries all of them."""
    quiet, *scenes = yaml.safe_load((DEPLOY / "prometheus-alerts.test.yml").read_text())["tests"]
    names = {rule["alert"] for rule in RULES}

    assert {test["alertname"] for test in quiet["alert_rule_test"]} == names
    assert not any(test.get("exp_alerts") for test in quiet["alert_rule_test"])
    assert {test["alertname"] for scene in scenes for test in scene["alert_rule_test"] if test["exp_alerts"]} == names


def test_promtool_accepts_the_rules_and_their_scenes() -> None:
    """Prometheus itself evaluates them."""
    for words in (("check", "rules", "prometheus-alerts.yml"), ("test", "rules", "prometheus-alerts.test.yml")):
        done = subprocess.run(
            [promtool.needed(), *words], cwd=DEPLOY, capture_output=True, text=True, timeout=60, check=False
        )

        assert done.returncode == 0, done.stdout + done.stderr
