"""`celery -A proj lab soak`."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

#: With it the first fault kills a pool process, and the second one the broker.
SEED = "67"


@pytest.mark.timeout(300)
def test_short_soak_loses_nothing_and_tells_how_processes_grow(
    terminal_environment: dict[str, str], tmp_path: Path
) -> None:
    """A pool process and the broker are killed beside many short tasks; each confirmed task is run."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "celery", "-A", "proj", "lab", "soak"),
            *("--minutes", "0.2", "--every", "5", "--seed", SEED, "--json"),
        ],
        env=terminal_environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=290,
        check=False,
    )

    assert run.returncode == 0, run.stderr
    outcome = json.loads(run.stdout)
    assert [stroke["fault"] for stroke in outcome["strokes"]] == ["child-killed", "broker-killed"]
    assert outcome["lost"] == []
    assert outcome["dead"] == {}
    assert outcome["executed_twice"] <= outcome["in_flight"]
    assert 100 < outcome["confirmed"] <= outcome["finished"]
    assert {"worker", "pool process", "recorder", "dashboard"} <= {trend["role"] for trend in outcome["trends"]}
    assert "0 lost" in run.stderr
