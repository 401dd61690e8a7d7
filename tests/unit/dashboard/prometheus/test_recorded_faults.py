"""Each fault of bench/alerts.py raises its own alert in time, by what a real Prometheus scraped during it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proj.lab.drills.faults.catalogue import FAULTS
from tests import promtool
from tests.unit.dashboard.prometheus.test_alerts import RULES

#: Runs of the bench, each with its faults and with the series that the rules use.
RUNS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("recorded_faults.yml").read_text())
RECORDED: list[dict[str, Any]] = [fault for run in RUNS for fault in run["faults"]]
PAGE = (promtool.DEPLOY.parent / "docs" / "alerts.md").read_text()
#: An hour long. deploy/prometheus-alerts.test.yml has a scene of it.
NOT_RECORDED = {"CeleryQueuePaused"}
#: What follows from every fault of a queue that lasts for ten minutes.
CONSEQUENCE = "CeleryOldestMessage"
#: The faults of the drills that are struck here under another name, because they are the same stroke.
SAME_AS = {"alarm-with-lease": "memory-alarm"}


def firing(fault: dict[str, Any], at_s: int, samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The expectation that the fault's alert has fired until a time, or that it has not; of no alert, that any has."""
    name = f',alertname="{fault["alert"]}"' if fault["alert"] else ""
    queue = f',queue="{fault["queue"]}"' if fault["queue"] else ""
    alert = f'ALERTS{{alertstate="firing"{name}{queue}}}'
    return {"expr": f"max(max_over_time({alert}[1h]))", "eval_time": f"{at_s}s", "exp_samples": samples}


@pytest.mark.parametrize("run", [pytest.param(run, id=run["faults"][-1]["name"]) for run in RUNS])
def test_fault_raises_its_alert_within_the_stated_time_and_no_other(run: dict[str, Any], tmp_path: Path) -> None:
    """Not before it, and not later than docs/alerts.md says; or none at all."""
    faults = run["faults"]
    end_s = max(one["struck"] + one["within"] for one in faults)
    others = f'ALERTS{{alertstate="firing",alertname!="{CONSEQUENCE}"}}'
    own = {(one["alert"], one["queue"]) for one in faults if one["alert"] not in {CONSEQUENCE, ""}}
    fires = [{"labels": "{}", "value": 1}]

    promtool.evaluate(
        tmp_path,
        run["series"],
        [
            *(firing(one, one["struck"], []) for one in faults),
            *(firing(one, one["struck"] + one["within"], fires if one["alert"] else []) for one in faults),
            {**promtool.fired(end_s, *own), "expr": f"count by (alertname, queue) (max_over_time({others}[1h]))"},
        ],
    )


def test_every_alert_is_recorded_but_those_with_a_reason() -> None:
    """A new rule needs a fault that raises it."""
    assert {one["alert"] for one in RECORDED if one["alert"]} | NOT_RECORDED == {rule["alert"] for rule in RULES}


def test_page_states_the_time_of_each_fault() -> None:
    """One table has the faults that raise an alert, and one those that raise none, each in its last column."""
    alerts = re.findall(r"^\| `([\w-]+)`: .* \| `(Celery\w+)` \| .* \| (\d+) s \|$", PAGE, flags=re.MULTILINE)
    none = re.findall(r"^\| `([\w-]+)`: .* \| none in (\d+) s \|$", PAGE, flags=re.MULTILINE)
    rows = {(name, alert): int(within) for name, alert, within in [*alerts, *((name, "", s) for name, s in none)]}

    assert rows == {(one["name"], one["alert"]): one["within"] for one in RECORDED}


def test_every_fault_of_the_drills_is_recorded() -> None:
    """With the alert that it raises, or with none."""
    recorded = {one["name"] for one in RECORDED}

    assert {SAME_AS.get(fault.name, fault.name) for fault in FAULTS} <= recorded
    assert all(f"`{name}`" in PAGE for name in SAME_AS)
