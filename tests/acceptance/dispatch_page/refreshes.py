"""How long a refresh of the view Now takes in Chromium, and what it leaves: 30 queues and 50 workers, all change."""

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
from tests.acceptance.dispatch_server import refreshed, serving, visit

if TYPE_CHECKING:
    from tests.acceptance.chromium import Tab


def memory(tab: Tab) -> str:
    """The page's nodes and its heap, after a collection."""
    tab.do("Performance.enable")
    tab.do("HeapProfiler.collectGarbage")
    found = {one["name"]: one["value"] for one in tab.do("Performance.getMetrics")["metrics"]}
    return f"{found['Nodes']:,.0f} nodes, {found['JSHeapUsedSize'] / 2**20:.1f} MiB"


def main() -> None:
    """Print the times and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=30, help="refreshes (30)")
    times = parser.parse_args().times
    with serving() as server, tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as tab:
        said = server.monitor.now_said = json.loads(now_scenes.document(now_scenes.many()))
        tab.look(width=1440)
        visit(tab, server.url)
        drawn, whole = [], []
        refreshed(tab)
        before = memory(tab)
        for _ in range(times):
            for one in (*said["queues"], *said["workers"]):
                one["done_per_s"] += 1
            refreshed(tab)
            drawn.append(tab.value("projDispatch.lastDrawMs"))
            whole.append(tab.value("projDispatch.lastRefreshMs"))
        after = memory(tab)
    for what, took in (("drawing", drawn), ("from the request to the drawing", whole)):
        sys.stdout.write(f"{what}: median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms\n")
    sys.stdout.write(f"before: {before}; after {times:,} refreshes: {after}\n")


if __name__ == "__main__":
    main()
