"""How long a refresh of a view takes in Chromium, and what it leaves in memory; an hour has 3,600 of them.

Now has 30 queues and 50 workers, of which each changes. Race has 1,000 attempts of other tasks each time,
or what a file has.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.acceptance import now_scenes
from tests.acceptance.chromium import browser
from tests.acceptance.dispatch_server import Server, refreshed, serving, visit
from tests.acceptance.dispatch_story import compared

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab

#: How often the memory is printed.
PARTS = 6


def memory(tab: Tab) -> str:
    """The page's nodes and its heap, after a collection."""
    tab.do("Performance.enable")
    tab.do("HeapProfiler.collectGarbage")
    found = {one["name"]: one["value"] for one in tab.do("Performance.getMetrics")["metrics"]}
    return f"{found['Nodes']:,.0f} nodes, {found['JSHeapUsedSize'] / 2**20:.1f} MiB"


def change(server: Server, number: int) -> None:
    """Let every row of Now have another figure, and every bar of Race be another task."""
    for one in (*server.monitor.now_said["queues"], *server.monitor.now_said["workers"]):
        one["done_per_s"] += 1
    report = server.monitor.said["report"]
    for run in report["runs"]:
        run["span_s"] += 0.01
    for run in (*report["runs"], *([report["together"]] if "together" in report else [])):
        for group in run["groups"]:
            group["lanes"] = [[[*bar[:3], f"task {number}", *bar[4:]] for bar in lane] for lane in group["lanes"]]


def main() -> None:
    """Print the times and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="refreshes (30)")
    parser.add_argument("--view", choices=["now", "race"], default="now")
    parser.add_argument("--race", type=Path, metavar="FILE", help="JSON of Race that bench/now.py --race has written")
    asked = parser.parse_args()
    with serving() as server, tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        server.monitor.said = (
            json.loads(asked.race.read_bytes()) if asked.race else compared(Path(folder), messages=340)
        )
        server.monitor.now_said = json.loads(now_scenes.document(now_scenes.many()))
        tab.look(width=1440)
        visit(tab, f"{server.url}?view={asked.view}")
        drawn, whole = [], []
        refreshed(tab)
        for number in range(asked.times):
            if number % max(1, asked.times // PARTS) == 0:
                sys.stdout.write(f"after {number:,} refreshes: {memory(tab)}\n")
                sys.stdout.flush()
            change(server, number)
            refreshed(tab)
            drawn.append(tab.value("projDispatch.lastDrawMs"))
            whole.append(tab.value("projDispatch.lastRefreshMs"))
        sys.stdout.write(f"after {asked.times:,} refreshes: {memory(tab)}\n")
    for what, took in (("drawing", drawn), ("from the request to the drawing", whole)):
        sys.stdout.write(f"{what}: median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms\n")


if __name__ == "__main__":
    main()
