"""The rules of deploy/prometheus-alerts.yml, evaluated by Prometheus' own promtool over given series."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "prometheus-alerts.yml"
#: Seconds between two samples and two evaluations, as in deploy/prometheus.yml.
STEP_S = 15


def needed() -> str:
    """The path of promtool. Without it, a test is skipped, but in CI it fails."""
    found = shutil.which("promtool")
    if found is None:
        verdict = pytest.fail if os.environ.get("CI") else pytest.skip
        verdict("promtool of Prometheus is not installed: apt-get install prometheus")
    return found


def fired(at_s: float, *alerts: tuple[str, str]) -> dict[str, Any]:
    """The expectation that at a time just these alerts are firing, by name and queue; of no queue that is empty."""
    return {
        "expr": 'count by (alertname, queue) (ALERTS{alertstate="firing"})',
        "eval_time": f"{math.ceil(at_s / STEP_S) * STEP_S}s",
        "exp_samples": [
            {"labels": f'{{alertname="{name}"{f", queue={json.dumps(queue)}" if queue else ""}}}', "value": 1}
            for name, queue in sorted(set(alerts))
        ],
    }


def evaluate(folder: Path, series: Mapping[str, str], expectations: Iterable[Mapping[str, Any]]) -> None:
    """Let promtool evaluate the rules over the series, in its notation, and check the expectations."""
    test = {
        "interval": f"{STEP_S}s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": list(expectations),
    }
    document = {"rule_files": [str(RULES)], "evaluation_interval": f"{STEP_S}s", "tests": [test]}
    # YAML contains JSON.
    (folder / "alerts.test.yml").write_text(json.dumps(document))
    done = subprocess.run(
        [needed(), "test", "rules", "alerts.test.yml"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
