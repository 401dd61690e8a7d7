"""A Prometheus on loopback with the rules of deploy/, and what it says."""

from __future__ import annotations

import json
import shutil
import urllib.parse
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proj.errors import MissingProgram
from proj.lab.processes.environment import child_environment
from proj.lab.processes.ports import LOOPBACK, free_port
from proj.lab.processes.process import Process

if TYPE_CHECKING:
    from proj.lab.processes.guard import Guard

RULES = Path(__file__).parents[2] / "deploy" / "prometheus-alerts.yml"
#: Seconds between two scrapes and two evaluations, as in deploy/prometheus.yml.
STEP_S = 15


class Prometheus(Process):
    """Scrapes one dashboard and evaluates the rules."""

    def __init__(self, guard: Guard, port: int, *, name: str) -> None:
        """Scrape the dashboard at this port; `start` starts the process, whose files have the name.

        Raises:
            MissingProgram: Prometheus is not installed.
        """
        if shutil.which("prometheus") is None:
            raise MissingProgram("Prometheus is not installed; get it with: apt-get install prometheus")
        self.port = free_port()
        configuration = {
            "global": {"scrape_interval": f"{STEP_S}s", "evaluation_interval": f"{STEP_S}s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [{"job_name": "celery", "static_configs": [{"targets": [f"{LOOPBACK}:{port}"]}]}],
        }
        # YAML contains JSON.
        (guard.folder / f"{name}.prometheus.yml").write_text(json.dumps(configuration))
        super().__init__(
            "Prometheus",
            [
                "prometheus",
                f"--config.file={guard.folder / f'{name}.prometheus.yml'}",
                f"--storage.tsdb.path={guard.folder / f'{name}.prometheus'}",
                f"--web.listen-address={LOOPBACK}:{self.port}",
                "--log.level=warn",
            ],
            guard=guard,
            environment=child_environment(),
            log=guard.folder / f"{name}.prometheus.log",
        )

    def ask(self, path: str, **parameters: str) -> Any:  # noqa: ANN401 JSON has no narrower type
        """The data of an answer of its API."""
        url = f"http://{LOOPBACK}:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def answers(self) -> bool:
        """Whether it serves, and has scraped the dashboard."""
        try:
            return bool(self.ask("query", query="proj_broker_up")["result"])
        except OSError:
            return False

    def alerts(self) -> dict[tuple[str, str], str]:
        """The state, pending or firing, of each alert, by its name and its queue; without a queue that is empty."""
        return {
            (one["labels"]["alertname"], one["labels"].get("queue", "")): one["state"]
            for one in self.ask("alerts")["alerts"]
        }

    def series(self, begin: float, end: float) -> list[dict[str, Any]]:
        """Every sample of our metrics between two times, in seconds since the epoch."""
        found: list[dict[str, Any]] = self.ask(
            "query_range", query='{__name__=~"proj_.*"}', start=str(begin), end=str(end), step=f"{STEP_S}s"
        )["result"]
        return found
